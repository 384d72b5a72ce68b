import { existsSync, readFileSync } from "node:fs";
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import { readEvents } from "../../shared/openai/sse.ts";

/** OpenAI's own schemas; data for tests, not part of the project. */
const PATH =
  process.env.OPENAI_SCHEMAS ?? new URL("../../../shared/openai/schemas.json", import.meta.url).pathname;

/** Where OpenAI's schemas are wrong or silent: the whole list. */
const EXCEPTIONS: readonly { readonly schema: string; readonly at: RegExp; readonly why: string }[] = [
  {
    schema: "CreateEmbeddingResponse",
    at: /\/embedding$/,
    why: "base64 strings: the schema knows arrays only",
  },
  { schema: "CreateCompletionResponse", at: /\/finish_reason$/, why: "null in all chunks but the last" },
  { schema: "CreateCompletionResponse", at: /\/token_logprobs\/0$/, why: "null for the first echoed token" },
];

const ajv = existsSync(PATH) ? loadAjv() : undefined;
if (ajv === undefined)
  console.log(`OpenAI's schemas are not at ${PATH}: answers are not validated against them`);
const validators = new Map<string, ValidateFunction>();

function loadAjv(): Ajv2020 {
  const { components } = JSON.parse(readFileSync(PATH, "utf8"));
  const made = new Ajv2020({ strict: false, allErrors: true, validateFormats: false });
  made.addSchema({ $id: "oa", components });
  return made;
}

/** Throws when `value` breaks OpenAI's schema of that name. */
export function expectSchema(schema: string, value: unknown): void {
  if (ajv === undefined) return;
  const validate = validators.get(schema) ?? ajv.getSchema(`oa#/components/schemas/${schema}`);
  if (validate === undefined) throw new Error(`OpenAI's schemas have no ${schema}`);
  validators.set(schema, validate);
  if (validate(value)) return;
  const faults = (validate.errors ?? []).filter(
    ({ instancePath }) => !EXCEPTIONS.some((known) => known.schema === schema && known.at.test(instancePath)),
  );
  if (faults.length === 0) return;
  const list = faults.map(({ instancePath, message }) => `${instancePath} ${message}`).join("; ");
  throw new Error(`Not a ${schema}: ${list} in ${JSON.stringify(value).slice(0, 400)}`);
}

const ANSWERS: readonly [RegExp, string, string][] = [
  [/\/chat\/completions$/, "CreateChatCompletionResponse", "CreateChatCompletionStreamResponse"],
  [/\/completions$/, "CreateCompletionResponse", "CreateCompletionResponse"],
  [/\/embeddings$/, "CreateEmbeddingResponse", ""],
  [/\/models$/, "ListModelsResponse", ""],
  [/\/models\/.+/, "Model", ""],
];

/** A `fetch` that validates every answer, chunk and error it sees; a fault surfaces as the read's or the call's error. */
export const checkedFetch: typeof fetch = async (input, init) => {
  const response = await fetch(input, init);
  const path = new URL(response.url).pathname;
  const [, json, chunk] = ANSWERS.find(([pattern]) => pattern.test(path)) ?? [];
  const isStream = response.headers.get("content-type")?.startsWith("text/event-stream") === true;
  if (isStream && response.body !== null) {
    const [seen, passed] = response.body.tee();
    const checked = checkEvents(seen, chunk ?? "");
    return new Response(withFault(passed, checked), response);
  }
  const text = await response.text();
  if (text !== "") {
    const value: unknown = JSON.parse(text);
    if (response.status >= 400) expectSchema("ErrorResponse", value);
    else if (json !== undefined && json !== "") expectSchema(json, value);
  }
  return new Response(response.status === 204 ? null : text, response);
};

async function checkEvents(body: ReadableStream<Uint8Array>, schema: string): Promise<void> {
  for await (const event of readEvents(body)) {
    if (event === "[DONE]") continue;
    const value: unknown = JSON.parse(event);
    expectSchema(
      typeof value === "object" && value !== null && "error" in value ? "ErrorResponse" : schema,
      value,
    );
  }
}

/** The same bytes; ends in the checker's error where it found a fault. */
function withFault(body: ReadableStream<Uint8Array>, checked: Promise<void>): ReadableStream<Uint8Array> {
  checked.catch(() => {}); // Thrown below, at the end of the stream.
  return body.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      async flush() {
        await checked;
      },
    }),
  );
}
