import { existsSync, readFileSync } from "node:fs";
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import { readEvents } from "../../shared/openai/sse.ts";

/** OpenAI's own schemas; data for tests, not part of the project. */
export const SCHEMAS_PATH =
  process.env.OPENAI_SCHEMAS ?? new URL("../../../shared/openai/schemas.json", import.meta.url).pathname;

/** Where OpenAI's schemas are wrong or silent: the whole list. */
const EXCEPTIONS: readonly { readonly schema: string; readonly at: RegExp; readonly why: string }[] = [
  {
    schema: "CreateEmbeddingResponse",
    at: /\/embedding$/,
    why: "base64 strings: the schema knows arrays only",
  },
  { schema: "CreateCompletionResponse", at: /\/finish_reason$/, why: "null in all chunks but the last" },
  {
    schema: "CreateCompletionResponse",
    at: /\/(token|top)_logprobs\/0$/,
    why: "null for the first echoed token",
  },
];

const ajv = existsSync(SCHEMAS_PATH) ? loadAjv() : undefined;
if (ajv === undefined)
  console.log(`OpenAI's schemas are not at ${SCHEMAS_PATH}: answers are not validated against them`);
const validators = new Map<string, ValidateFunction>();

function loadAjv(): Ajv2020 {
  const { components } = JSON.parse(readFileSync(SCHEMAS_PATH, "utf8"));
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
  const errors = validate.errors ?? [];
  const isKnown = (path: string) =>
    EXCEPTIONS.some((known) => known.schema === schema && known.at.test(path));
  const excused = errors.map(({ instancePath }) => instancePath).filter(isKnown);
  // A union that holds an excused value matches no branch either: that says nothing new.
  const follows = (path: string) => excused.some((known) => known.startsWith(`${path}/`));
  const faults = errors.filter(({ instancePath }) => !isKnown(instancePath) && !follows(instancePath));
  if (faults.length === 0) return;
  const list = faults.map(({ instancePath, message }) => `${instancePath} ${message}`).join("; ");
  throw new Error(`Not a ${schema}: ${list} in ${JSON.stringify(value).slice(0, 400)}`);
}

const ANSWERS: readonly [RegExp, string, string][] = [
  [/\/organization\//, "UsageResponse", ""],
  [/\/chat\/completions$/, "CreateChatCompletionResponse", "CreateChatCompletionStreamResponse"],
  [/\/completions$/, "CreateCompletionResponse", "CreateCompletionResponse"],
  [/\/embeddings$/, "CreateEmbeddingResponse", ""],
  [/\/models$/, "ListModelsResponse", ""],
  [/\/models\/.+/, "Model", ""],
];

/** `inner` with every answer, chunk and error validated; a fault surfaces as the read's or the call's error. */
export function checked(inner: typeof fetch): typeof fetch {
  return async (input, init) => {
    const response = await inner(input, init);
    const path = new URL(input instanceof Request ? input.url : String(input), "http://any").pathname;
    const [, json, chunk] = ANSWERS.find(([pattern]) => pattern.test(path)) ?? [];
    const isStream = response.headers.get("content-type")?.startsWith("text/event-stream") === true;
    if (isStream && response.body !== null)
      return new Response(checkedStream(response.body, chunk ?? ""), response);
    const text = await response.text();
    if (text !== "" && path !== "/health/ready") {
      const value: unknown = JSON.parse(text);
      if (response.status >= 400) expectSchema("ErrorResponse", value);
      else if (json !== undefined && json !== "") expectSchema(json, value);
    }
    return new Response(text === "" ? null : text, response);
  };
}

export const checkedFetch = checked(fetch);

/** The same bytes; ends in the checker's error where it found a fault. A reader that leaves early leaves the rest unchecked. */
function checkedStream(body: ReadableStream<Uint8Array>, schema: string): ReadableStream<Uint8Array> {
  const pieces: Uint8Array[] = [];
  return body.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(piece, controller) {
        pieces.push(piece);
        controller.enqueue(piece);
      },
      flush: () => checkEvents(pieces, schema),
    }),
  );
}

async function checkEvents(pieces: readonly Uint8Array[], schema: string): Promise<void> {
  const bytes = (async function* () {
    yield* pieces;
  })();
  for await (const event of readEvents(bytes)) {
    if (event === "[DONE]") continue;
    const value: unknown = JSON.parse(event);
    const isError = typeof value === "object" && value !== null && "error" in value;
    expectSchema(isError ? "ErrorResponse" : schema, value);
  }
}
