import { z } from "zod";
import { modelName } from "../config-values.ts";
import { type ApiError, invalidRequest } from "./errors.ts";

/**
 * Request bodies as OpenAI's API 2.3.0 describes them, with the ranges it enforces. Loose: unknown fields are kept
 * for a backend to read. An explicit null on any field means absent (SDKs send nulls as null).
 */

/** A field that may be absent or null; both read as undefined. */
export function optional<T extends z.ZodType>(schema: T) {
  return schema.nullish().transform((value) => value ?? undefined);
}

/** At most this many stop strings: OpenAI's own limit. */
const MAX_STOPS = 4;
const stop = optional(
  z.union([z.string(), z.array(z.string()).min(1).max(MAX_STOPS)], {
    error: `expected a string or 1 to ${MAX_STOPS} strings`,
  }),
);
const count = z.int().min(0);
const streamOptions = optional(
  z.looseObject({ include_usage: optional(z.boolean()), include_obfuscation: optional(z.boolean()) }),
);

/** An object whose first bad entry is told, in the words of `faultOf`: Zod's own record reads on to the last. */
function entriesOf<Value>(faultOf: (key: string, value: unknown) => string | undefined) {
  const isObject = (value: unknown) => typeof value === "object" && value !== null && !Array.isArray(value);
  return z
    .custom<Readonly<Record<string, Value>>>(isObject, { error: "expected an object" })
    .superRefine((entries, context) => {
      for (const key of Object.keys(entries)) {
        const message = faultOf(key, entries[key]);
        if (message !== undefined) return context.addIssue({ code: "custom", path: [key], message });
      }
    });
}

const metadata = optional(
  entriesOf<string>((key, value) =>
    key.length <= 64 && typeof value === "string" && value.length <= 512
      ? undefined
      : "keys have at most 64 characters, and values are strings of at most 512",
  ).refine((pairs) => Object.keys(pairs).length <= 16, { error: "at most 16 pairs are allowed" }),
);
const logitBias = optional(
  entriesOf<number>((key, value) => {
    if (!/^\d+$/.test(key)) return "keys are token ids";
    return typeof value === "number" && Math.abs(value) <= 100 ? undefined : "values are from -100 to 100";
  }),
);

/** Ours: whether the answer's usage says what the request cost. */
const askedUsage = optional(z.looseObject({ include_cost: optional(z.boolean()) }));

/** What both chat and text completions take. `top_k` and `min_p` are the extras every engine here knows. */
const generationFields = {
  model: modelName,
  frequency_penalty: optional(z.number().min(-2).max(2)),
  presence_penalty: optional(z.number().min(-2).max(2)),
  logit_bias: logitBias,
  max_tokens: optional(count),
  min_p: optional(z.number().min(0).max(1)),
  n: optional(z.int().min(1).max(128)),
  seed: optional(z.int()),
  stop,
  stream: optional(z.boolean()),
  stream_options: streamOptions,
  temperature: optional(z.number().min(0).max(2)),
  top_k: optional(z.int().min(-1)),
  top_p: optional(z.number().min(0).max(1)),
  usage: askedUsage,
  user: optional(z.string()),
};

const textPart = z.looseObject({ type: z.literal("text"), text: z.string() });
const contentPart = z.discriminatedUnion("type", [
  textPart,
  z.looseObject({ type: z.literal("refusal"), refusal: z.string() }),
  z.looseObject({ type: z.literal("image_url"), image_url: z.looseObject({ url: z.string() }) }),
  z.looseObject({
    type: z.literal("input_audio"),
    input_audio: z.looseObject({ data: z.string(), format: z.string() }),
  }),
  z.looseObject({ type: z.literal("file"), file: z.looseObject({}) }),
]);
export type ContentPart = z.infer<typeof contentPart>;

const content = z.union([z.string(), z.array(contentPart).min(1)], {
  error: (issue) =>
    issue.input === undefined ? "a string or an array of content parts is required" : undefined,
});
const toolCall = z.looseObject({
  id: z.string(),
  type: z.literal("function"),
  function: z.looseObject({ name: z.string(), arguments: z.string() }),
});
const name = optional(z.string());

const message = z.discriminatedUnion("role", [
  z.looseObject({ role: z.enum(["system", "developer", "user"]), content, name }),
  z.looseObject({
    role: z.literal("assistant"),
    content: optional(content),
    name,
    refusal: optional(z.string()),
    tool_calls: optional(z.array(toolCall)),
  }),
  z.looseObject({ role: z.literal("tool"), content, tool_call_id: z.string() }),
  z.looseObject({ role: z.literal("function"), content: optional(content), name: z.string() }),
]);
export type ChatMessage = z.infer<typeof message>;

/** A field of OpenAI's that is not read here: a backend may. */
const passedOn = optional(z.unknown());

export const chatRequest = z
  .looseObject({
    ...generationFields,
    audio: passedOn,
    modalities: passedOn,
    moderation: passedOn,
    parallel_tool_calls: passedOn,
    prediction: passedOn,
    prompt_cache_key: passedOn,
    prompt_cache_options: passedOn,
    prompt_cache_retention: passedOn,
    reasoning_effort: passedOn,
    safety_identifier: passedOn,
    service_tier: passedOn,
    store: passedOn,
    verbosity: passedOn,
    web_search_options: passedOn,
    messages: z.array(message).min(1),
    chat_template_kwargs: optional(z.record(z.string(), z.unknown())),
    logprobs: optional(z.boolean()),
    max_completion_tokens: optional(count),
    metadata,
    response_format: optional(z.looseObject({ type: z.string() })),
    tools: optional(z.array(z.looseObject({ type: z.string() }))),
    tool_choice: optional(z.union([z.string(), z.looseObject({ type: z.string() })])),
    functions: optional(z.array(z.looseObject({ name: z.string() }))),
    function_call: optional(z.union([z.string(), z.looseObject({ name: z.string() })])),
    top_logprobs: optional(z.int().min(0).max(20)),
  })
  .superRefine((body, context) => {
    refineGeneration(body, context);
    if (body.top_logprobs !== undefined && body.logprobs !== true) {
      context.addIssue({
        code: "custom",
        path: ["top_logprobs"],
        message: "`logprobs` must be true to use it",
      });
    }
  });
export type ChatRequest = z.infer<typeof chatRequest>;

const tokenIds = z.array(z.int().min(0)).min(1);

export const completionRequest = z
  .looseObject({
    ...generationFields,
    prompt: z.union([z.string(), tokenIds, z.array(z.string()).min(1), z.array(tokenIds).min(1)], {
      error: "expected a string, an array of strings, of token ids, or of arrays of token ids",
    }),
    best_of: optional(z.int().min(0).max(20)),
    echo: optional(z.boolean()),
    logprobs: optional(z.int().min(0).max(5)),
    suffix: optional(z.string()),
  })
  .superRefine(refineGeneration);
export type CompletionRequest = z.infer<typeof completionRequest>;

/** Most inputs of one embeddings call: OpenAI's own limit. */
const MAX_INPUTS = 2048;
const inputText = z.string().min(1, { error: "an input must not be empty" });

export const embeddingRequest = z.looseObject({
  model: modelName,
  input: z.union(
    [
      inputText,
      tokenIds.max(MAX_INPUTS),
      z.array(inputText).min(1).max(MAX_INPUTS),
      z.array(tokenIds).min(1).max(MAX_INPUTS),
    ],
    {
      error: `expected a non-empty string, or 1 to ${MAX_INPUTS} strings, token ids, or arrays of token ids`,
    },
  ),
  encoding_format: optional(z.enum(["float", "base64"])),
  dimensions: optional(z.int().min(1)),
  usage: askedUsage,
  user: optional(z.string()),
});
export type EmbeddingRequest = z.infer<typeof embeddingRequest>;

/** What engines call their cap on tokens beside OpenAI's fields: one that won over these would pass what is held. */
const OTHER_CAPS = ["n_predict", "max_new_tokens"];

function refineGeneration(
  body: { stream?: boolean; stream_options?: unknown },
  context: z.core.$RefinementCtx,
): void {
  for (const name of OTHER_CAPS) {
    if (Object.hasOwn(body, name))
      context.addIssue({ code: "custom", path: [name], message: "use `max_tokens` instead" });
  }
  if (body.stream_options !== undefined && body.stream !== true) {
    context.addIssue({
      code: "custom",
      path: ["stream_options"],
      message: "only allowed when `stream` is true",
    });
  }
}

/** A body has room for millions of faults; one is told. (Without it, half a megabyte held up the process for seconds.) */
const FIRST_FAULT: z.core.ParseContextInternal<z.core.$ZodIssue> = { abortEarly: true };

export interface ParseBodyOptions {
  /** Refuses fields that neither OpenAI nor `schema` has, instead of passing them on. */
  readonly isStrict?: boolean;
}

/**
 * The body as `schema` reads it. Throws the `ApiError` a client of OpenAI's expects: 400, with the path of the first
 * bad field in `param` and what is allowed in the message.
 */
export function parseBody<T extends z.ZodObject>(
  schema: T,
  body: unknown,
  { isStrict = false }: ParseBodyOptions = {},
): z.infer<T> {
  const parsed = schema.safeParse(body, FIRST_FAULT);
  if (parsed.success) {
    const unknown = Object.keys(parsed.data).find((name) => !Object.hasOwn(schema.shape, name));
    if (!isStrict || unknown === undefined) return parsed.data;
    throw invalidRequest(`Unrecognized request argument supplied: ${unknown}`, unknown);
  }
  const issue = parsed.error.issues[0];
  if (issue === undefined) throw invalidRequest("The request body is invalid.");
  throw fieldError(deepest(issue), body);
}

/** The most specific complaint of a union: that of the branch which got furthest. */
function deepest(issue: z.core.$ZodIssue): z.core.$ZodIssue {
  if (issue.code !== "invalid_union") return issue;
  const branches = issue.errors.flat().filter((inner) => inner.path.length > 0);
  const furthest = branches.sort((a, b) => b.path.length - a.path.length)[0];
  return furthest === undefined ? issue : deepest({ ...furthest, path: [...issue.path, ...furthest.path] });
}

function fieldError(issue: z.core.$ZodIssue, body: unknown): ApiError {
  const path = issue.code === "unrecognized_keys" ? [...issue.path, issue.keys[0] ?? ""] : issue.path;
  if (path.length === 0) {
    return invalidRequest("The request body must be a JSON object.", null, "invalid_type");
  }
  const param = formatPath(path);
  const found = valueAt(body, path);
  if (found === undefined) {
    return invalidRequest(`Missing required parameter: '${param}'.`, param, "missing_required_parameter");
  }
  const code = issue.code === "invalid_type" ? "invalid_type" : "invalid_value";
  return invalidRequest(`Invalid '${param}': ${issue.message}; found ${preview(found)}.`, param, code);
}

/** `["messages", 0, "role"]` as OpenAI writes it: `messages[0].role`. */
export function formatPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, key) => {
    if (typeof key === "number") return `${text}[${key}]`;
    return text === "" ? String(key) : `${text}.${String(key)}`;
  }, "");
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (inner, key) => (typeof inner === "object" && inner !== null ? Reflect.get(inner, key) : undefined),
    value,
  );
}

/** Shows what was found without echoing a prompt: scalars short, all else by its kind. */
function preview(value: unknown): string {
  if (typeof value === "number" || typeof value === "boolean" || value === null) return String(value);
  if (typeof value === "string")
    return value.length <= 32 ? JSON.stringify(value) : `a string of ${value.length} characters`;
  return Array.isArray(value) ? `an array of ${value.length}` : "an object";
}
