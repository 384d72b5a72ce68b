import { answerJson, answerOf, answerStream, chunkOf, type Script } from "../harness/upstream.ts";

/** Plays one script a request; a request too many gets a 500. */
export function inTurn(...scripts: readonly Script[]): Script {
  const left = [...scripts];
  return (response, request) =>
    (left.shift() ?? answerJson(500, { error: { message: "The script is over" } }))(response, request);
}

/** A refusal as OpenAI writes it. */
export function refusal(status: number, code: string | null, headers: Record<string, string> = {}): Script {
  const error = { message: `Refused with ${status}.`, type: "refused", param: null, code };
  return answerJson(status, { error }, headers);
}

/** Sends nothing at all. */
export const silence: Script = () => {};

/** A whole chat answer. */
export const answer: Script = answerJson(200, answerOf("At last"));

/** A stream of these contents whose connection then breaks. */
export function cutStream(...contents: readonly string[]): Script {
  return answerStream(
    contents.map((content) => chunkOf({ content })),
    "destroy",
  );
}
