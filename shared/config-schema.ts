import { z } from "zod";
import { accounts, admin, auth, keys, ledger, webhooks } from "./config-billing.ts";
import { llamaServer, loading, mlx, vllm } from "./config-engines.ts";
import { refuseDuplicates } from "./config-names.ts";
import { isModelSource, modelIdFromSource, parsedUrl } from "./config-source.ts";
import { modelName, wholeNumber } from "./config-values.ts";
import { ENGINES } from "./detector.ts";
import { MAX_DOLLARS_PER_MILLION, toPrice } from "./pricing.ts";

/** The configuration after parsing: defaults filled in, names derived, prices exact. */
export type Config = z.output<typeof configSchema>;
export type ModelConfig = Config["models"][number];
export type BackendConfig = Config["backends"][number];

/** A day; far below the 2^31 - 1 ms at which timers wrap to zero. */
const MAX_MS = 86_400_000;
const MIB = 1024 * 1024;

// Every message reads on from "allowed: ", and every key has a description: it is the editor's help text.

function isBaseUrl(text: string): boolean {
  const url = parsedUrl(text);
  return (
    url !== undefined &&
    /^https?:$/.test(url.protocol) &&
    `${url.username}${url.password}${url.search}${url.hash}` === ""
  );
}

const baseUrl = z
  .string()
  .refine(
    isBaseUrl,
    "an http or https URL without credentials, query or fragment, such as https://api.example.com/v1",
  )
  .transform((url) => url.replace(/\/+$/, ""));

const dollars = z.number().min(0).max(MAX_DOLLARS_PER_MILLION);
const price = z
  .strictObject({
    prompt: dollars.describe("Prompt tokens, in US dollars per million."),
    cachedPrompt: dollars
      .optional()
      .describe("Prompt tokens that were read from a cache; as `prompt` when left out."),
    completion: dollars.describe("Completion tokens, in US dollars per million."),
    reasoning: dollars
      .optional()
      .describe("Those of them that were reasoning; as `completion` when left out."),
  })
  .transform(toPrice);

const maxTokens = wholeNumber(1, 10_000_000)
  .optional()
  .describe("Cap on completion tokens when the client names none; budgets set aside this much.");

const onAbort = z
  .enum(["cancel", "drain", "free"])
  .default("cancel")
  .describe(
    "When the client leaves: `cancel` stops the backend and bills what it counted, `drain` reads on and bills all, `free` stops it and bills nothing.",
  );

const model = z.strictObject({
  id: modelName.optional().describe("The name clients use. Left out, it is derived from `source`."),
  source: z
    .string()
    .refine(isModelSource, "demo, a path, an http(s) URL, hf:user/repo[:quant] or hf:user/repo/file.gguf")
    .describe(
      "Where the model comes from: `demo` (built in), a path, an https URL, `hf:user/repo[:quant]` or `hf:user/repo/file.gguf`.",
    ),
  aliases: z.array(modelName).default([]).describe("Other names clients may use for it."),
  load: z
    .enum(["start", "use"])
    .default("start")
    .describe("When it is loaded: when the server starts, or when the first request needs it."),
  ttlMs: wholeNumber(1000, MAX_MS)
    .optional()
    .describe("Idle for so long it is unloaded, in ms (vLLM, MLX, llama-server). Left out: never."),
  memoryBytes: wholeNumber(1, Number.MAX_SAFE_INTEGER)
    .optional()
    .describe("What it takes when loaded, in bytes; counts against `loading.memoryBytes`."),
  maxTokens,
  price: price.optional().describe("What it costs; the top-level `price` when left out."),
});

const backendModel = z.strictObject({
  id: modelName.describe("The name clients use."),
  as: modelName.optional().describe("Its name at the backend; as `id` when left out."),
  weight: z
    .number()
    .min(0)
    .max(1000)
    .default(1)
    .describe("Share of the calls among the backends that serve this model; 0 sends none."),
  maxTokens,
  price: price.optional().describe("What it costs; the top-level `price` when left out."),
});

const timeoutMs = wholeNumber(1, MAX_MS);
const backend = z.strictObject({
  id: z
    .string()
    .regex(/^[A-Za-z0-9][\w.-]{0,63}$/, "1 to 64 letters, digits, dots, dashes or underscores")
    .describe("Names the backend in status, logs and receipts."),
  url: baseUrl.describe("Base URL of its OpenAI API, `/v1` included."),
  apiKey: z
    .string()
    .min(1)
    .optional()
    .describe(`Sent as the bearer token; \${NAME} takes it from the environment.`),
  headers: z
    .record(
      z.string().regex(/^[!#$%&'*+.^_`|~\w-]+$/, "a header's name"),
      z.string().refine((text) => !/[\r\n\0]/.test(text), "text on one line"),
    )
    .optional()
    .describe("Further headers to send."),
  models: z
    .array(z.union([modelName, backendModel]))
    .optional()
    .describe(
      "What to send there: names, or mappings with more to say. Left out: every model that it lists.",
    ),
  connectTimeoutMs: timeoutMs.default(10_000).describe("How long a connection may take, in ms."),
  headersTimeoutMs: timeoutMs.default(600_000).describe("How long the response's headers may take, in ms."),
  idleTimeoutMs: timeoutMs.default(300_000).describe("How long a response may pause between bytes, in ms."),
  onAbort,
  drainMs: timeoutMs.default(60_000).describe("How long `onAbort: drain` reads on at most, in ms."),
});

const llamaCpp = z.strictObject({
  contextSize: wholeNumber(32, 16_777_216)
    .optional()
    .describe("Tokens of context per sequence; left out, what the model and the memory allow."),
  sequences: wholeNumber(1, 1024).optional().describe("Streams that generate at the same time."),
  threads: wholeNumber(1, 1024).optional().describe("Threads for decoding; left out, measured at load."),
  prefillThreads: wholeNumber(1, 1024)
    .optional()
    .describe("Threads for computing prompts; left out, measured at load."),
  prefillChunk: wholeNumber(1, 65_536)
    .optional()
    .describe("Prompt tokens computed at a time: small keeps other streams flowing, large is faster."),
  gpuLayers: z
    .union([wholeNumber(0, 10_000), z.literal("auto")])
    .optional()
    .describe("Layers to put on the GPU, or `auto`."),
  queueLimit: wholeNumber(0, 1_000_000)
    .default(256)
    .describe("Requests that may wait for a sequence; beyond, 429."),
});

const limits = z.strictObject({
  bodyBytes: wholeNumber(1024, 1024 * MIB)
    .default(32 * MIB)
    .describe("Largest request body, in bytes; beyond, 413."),
  inFlight: wholeNumber(1, 1_000_000)
    .default(1024)
    .describe("Requests served at the same time; beyond, 429."),
  drainMs: wholeNumber(0, MAX_MS)
    .default(30_000)
    .describe("How long streams may go on after a signal to stop, in ms."),
  keepAliveMs: wholeNumber(0, MAX_MS)
    .default(15_000)
    .describe("Pause after which a silent stream gets an SSE comment, in ms; 0 for never."),
});

const downloads = z.strictObject({
  cacheDir: z.string().min(1).optional().describe("Where downloaded models are kept."),
  endpoint: baseUrl.optional().describe("A mirror of Hugging Face. Also HF_ENDPOINT."),
  token: z.string().min(1).optional().describe("Token for Hugging Face. Also HF_TOKEN."),
});

const cors = z.strictObject({
  origins: z
    .array(z.string().refine(isOrigin, '"*" or an origin such as https://app.example.com'))
    .default(["*"])
    .describe('Origins whose pages may call the API; "*" for all.'),
});

const log = z.strictObject({
  level: z.enum(["debug", "info", "warn", "error"]).default("info").describe("The least that is logged."),
});

const settings = z.strictObject({
  host: z
    .string()
    .regex(
      /^([\w.-]+|[\da-fA-F:.]*:[\da-fA-F:.]*:[\da-fA-F:.]*(%\w+)?)$/,
      "an address or host name, without port",
    )
    .default("0.0.0.0")
    .describe("Address to listen on. Also HOST."),
  port: wholeNumber(0, 65_535).default(8000).describe("Port to listen on; 0 for any free one. Also PORT."),
  engine: z
    .enum(["auto", ...ENGINES])
    .default("auto")
    .describe("What runs local models; `auto` picks for this machine. Also INFERENCE_ENGINE."),
  models: z
    .array(model)
    .optional()
    .describe("Models run here. Left out: the demo model, or none where there are backends."),
  llamaCpp: llamaCpp.prefault({}).describe("Settings of the llama.cpp engine."),
  vllm: vllm.prefault({}).describe("Settings of vLLM."),
  mlx: mlx.prefault({}).describe("Settings of MLX."),
  llamaServer: llamaServer.prefault({}).describe("Settings of an external llama-server."),
  loading: loading.prefault({}).describe("How many models are loaded at a time (vLLM, MLX, llama-server)."),
  backends: z.array(backend).default([]).describe("Servers with an OpenAI API to forward to."),
  price: price
    .prefault({ prompt: 0, completion: 0 })
    .describe("What a model without its own price costs, in US dollars per million tokens."),
  auth,
  admin: admin.prefault({}).describe("The admin API: accounts, credits, keys, receipts, usage."),
  keys: keys.default([]).describe("Keys that clients may use; more are made by `sluice keys create`."),
  accounts: accounts
    .default([])
    .describe("Who pays; an account that only keys name pays later, without limits."),
  ledger: ledger.prefault({}).describe("Where money and keys are kept."),
  webhooks: webhooks.default([]).describe("Who is told of each settled receipt."),
  idempotencyTtlMs: wholeNumber(0, 7 * MAX_MS)
    .default(MAX_MS)
    .describe("How long the answer to an `Idempotency-Key` is kept for the client's retry, in ms."),
  limits: limits.prefault({}).describe("What is taken on, and how long it may last."),
  downloads: downloads.prefault({}).describe("Where models are downloaded from and kept."),
  cors: cors.prefault({}).describe("Which web pages may call the API."),
  log: log.prefault({}).describe("Logging."),
  strict: z
    .boolean()
    .default(false)
    .describe("Refuse request fields that OpenAI doesn't have, instead of passing them on."),
});
type Settings = z.output<typeof settings>;

export const configSchema = settings
  .superRefine(refuseDuplicates, { when: () => true })
  .transform(({ models, backends, ...rest }) => ({
    ...rest,
    models: localModels(models, backends.length > 0).map(({ id, ...model }) => ({
      ...model,
      id: id ?? modelIdFromSource(model.source),
      price: model.price ?? rest.price,
    })),
    backends: backends.map((backend) => ({
      ...backend,
      models: backend.models?.map((entry) => namedModel(entry, rest.price)),
    })),
  }));

function localModels(models: Settings["models"], hasBackends: boolean): NonNullable<Settings["models"]> {
  return models ?? (hasBackends ? [] : [{ source: "demo", aliases: [], load: "start" }]);
}

function namedModel(entry: string | z.output<typeof backendModel>, defaultPrice: Settings["price"]) {
  const listed = typeof entry === "string" ? { id: entry, weight: 1 } : entry;
  return { ...listed, as: listed.as ?? listed.id, price: listed.price ?? defaultPrice };
}

function isOrigin(text: string): boolean {
  return text === "*" || parsedUrl(text)?.origin === text;
}
