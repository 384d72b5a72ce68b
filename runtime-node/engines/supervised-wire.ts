import type { Wire } from "../../functions/backends/dialect.ts";
import type { EngineCall } from "../../shared/engine.ts";
import { unsupported } from "../../shared/openai/errors.ts";
import { checkToolMessages, readToolUse } from "../../shared/openai/tools.ts";

/** What the dialects of several engines need: pure functions over JSON that came from, or goes to, an engine. */

/** Without the keys that are null or undefined. `keep`: those that OpenAI requires to be there. */
export function withoutNulls(object: Wire, keep: readonly string[] = []): Wire {
  return Object.fromEntries(
    Object.entries(object).filter(([key, value]) => (value ?? undefined) !== undefined || keep.includes(key)),
  );
}

export function omit(object: Wire, ...keys: readonly string[]): Wire {
  return Object.fromEntries(Object.entries(object).filter(([key]) => !keys.includes(key)));
}

export function isWire(value: unknown): value is Wire {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function wires(value: unknown): readonly Wire[] {
  return Array.isArray(value) ? value.filter(isWire) : [];
}

/** `answer` with each of its choices changed. */
export function mapChoices(answer: Wire, change: (choice: Wire) => Wire): Wire {
  return Array.isArray(answer.choices) ? { ...answer, choices: wires(answer.choices).map(change) } : answer;
}

/** Engines call it `reasoning`; our own, DeepSeek and most clients `reasoning_content`. */
export function renamedReasoning(part: Wire): Wire {
  const { reasoning, ...rest } = part;
  if (reasoning === undefined) return part;
  return reasoning === null || reasoning === "" ? rest : { ...rest, reasoning_content: reasoning };
}

/**
 * Throws 400 for tools that engines take without a word, and then answer wrongly: a choice of a tool that isn't there, a
 * result of a call that nobody made, the deprecated `functions`.
 */
export function checkTools(engine: string, call: EngineCall, body: Wire): void {
  if (call.route !== "chat") return;
  for (const param of ["functions", "function_call"]) {
    if (body[param] !== undefined)
      throw unsupported(
        param,
        `\`${param}\` is not supported by ${engine}. Use \`tools\` and \`tool_choice\`.`,
      );
  }
  checkToolMessages(call.body.messages);
  readToolUse(call.body);
}

/** Throws 400 for what MLX and llama-server pass over in silence, or count wrongly (several choices and prompts). */
export function refuseIgnored(engine: string, call: EngineCall, body: Wire): void {
  const no = (param: string, what = `\`${param}\``) => {
    throw unsupported(param, `${what} is not supported by ${engine}.`);
  };
  if (Number(body.n ?? 1) > 1) no("n", "`n` above 1");
  if (Number(body.best_of ?? 1) > 1) no("best_of", "`best_of` above 1");
  if (body.echo === true) no("echo");
  if (typeof body.suffix === "string" && body.suffix !== "") no("suffix");
  if (body.parallel_tool_calls === false) no("parallel_tool_calls");
  if (call.route !== "completions") return;
  if (body.logprobs !== undefined) no("logprobs");
  if (Array.isArray(body.prompt) && body.prompt.length > 1 && typeof body.prompt[0] !== "number")
    no("prompt", "A list of prompts");
}

/** A call's id as OpenAI writes it: clients look for the prefix. */
export function callId(id: unknown): string {
  const text = typeof id === "string" && id !== "" ? id : crypto.randomUUID();
  return text.startsWith("call_") ? text : `call_${text.replaceAll("-", "")}`;
}

/** An engine that serves no such route says 404 or 405, in words of its own. */
export function isMissingRoute(call: EngineCall, status: number): boolean {
  return call.route === "embeddings" && (status === 404 || status === 405 || status === 501);
}

export function noEmbeddings(call: EngineCall) {
  return unsupported("model", `The model \`${call.body.model}\` does not make embeddings.`);
}
