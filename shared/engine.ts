import type { ApiError } from "./openai/errors.ts";
import type { ChatMessage, ChatRequest, CompletionRequest, EmbeddingRequest } from "./openai/schemas.ts";
import type { ToolUse } from "./openai/tools.ts";
import type { UsageReading } from "./openai/usage.ts";

/**
 * The narrow waist: an engine answers an OpenAI call with an OpenAI `Response` (JSON, or SSE bytes).
 * vLLM, MLX and llama-server already do; an engine in this process composes one from its tokens
 * (`openai/compose.ts`). `test/contracts/engine.ts` is these promises as tests: an engine is done when it passes.
 */
export interface Engine {
  /** Names the engine in status, logs and receipts: `llama_cpp`, `dummy`, or the id of a backend. */
  readonly id: string;

  /** Makes the engine ready to load models. Once; a second call does nothing. Throws an Error that says what to do. */
  initialize(): Promise<void>;

  /**
   * Loads a model under `model`. While it runs, `respond` for that model rejects with 503 and a retry time.
   * Throws an Error that names what is needed and what there is; the engine stays usable.
   */
  loadModel(model: string, source: string): Promise<void>;

  /** True from the moment calls for `model` can be answered until `close`. */
  isModelLoaded(model: string): boolean;

  /** What it serves, as far as it knows now; asks a backend where it must. */
  models(signal: AbortSignal): Promise<readonly EngineModel[]>;

  /**
   * Answers one call. Resolves at the response's headers.
   * - Before the first byte it rejects, always with an `ApiError`; after it, a failure is one error event that
   *   ends the stream without `[DONE]`.
   * - It sets `call.report.read` before it resolves, and keeps what that returns current: also in mid-stream,
   *   also after an abort.
   * - Each chunk of a stream's body holds whole events.
   * - Aborting `call.signal` ends the body and frees what the call held within one token or one prompt chunk.
   * - The body has one reader, who cancels it or reads it to its end.
   */
  respond(call: EngineCall): Promise<Response>;

  /** The prompt tokens of a call, exactly; absent or undefined where it can't tell. Rejects as `respond` would. */
  countPrompt?(call: EngineCall): Promise<number | undefined>;

  /** Cheap: read by `/v1/system/status` and by readiness probes. Never throws. */
  status(): EngineStatus;

  /** Ends calls in flight, frees memory and processes. A second call returns the first one's promise. */
  close(): Promise<void>;
}

/** An engine that makes its tokens in this process; `respond` is composed from it. */
export interface GeneratingEngine extends Engine {
  /**
   * Generates one choice. Yields `prompt` once, then `text` as it comes, then one `finish`.
   * Throws `ApiError` before `prompt` (context too long, queue full, model not loaded); throws `signal.reason`
   * when aborted. Counts in `request.counts`, up to the last token made, whatever was yielded.
   */
  generate(request: GenerateRequest): AsyncIterable<GenerateEvent>;
}

/** An engine whose models run in processes of their own: they are loaded, unloaded, and they print. */
export interface HostedEngine extends Engine {
  /** Loads a model by hand, also one that failed a moment ago. Rejects with an `ApiError`. */
  load(model: string, signal?: AbortSignal): Promise<void>;
  /** Unloads it once nothing is in flight on it. Rejects with an `ApiError` for a model that isn't there. */
  unload(model: string): Promise<void>;
  /** What the model's process printed; undefined for a model that isn't there. */
  logs(model: string): EngineLog | undefined;
}

export interface EngineLog {
  /** The lines kept, oldest first; at most `last` of them. */
  lines(last?: number): readonly EngineLogLine[];
  /** Calls `listener` with every line from now on, until the returned function is called. It must not throw. */
  subscribe(listener: (line: EngineLogLine) => void): () => void;
}

export interface EngineLogLine {
  /** Counts up from 1; a gap means that lines were dropped in between. */
  readonly number: number;
  /** UTC, ISO 8601. */
  readonly time: string;
  readonly text: string;
}

export type EngineCall = CallContext &
  (
    | { readonly route: "chat"; readonly body: ChatRequest }
    | { readonly route: "completions"; readonly body: CompletionRequest }
    | { readonly route: "embeddings"; readonly body: EmbeddingRequest }
  );

export type Route = EngineCall["route"];

export interface CallContext {
  readonly requestId: string;
  /** The model's name on this engine; `body.model` is what the client asked for and what answers carry. */
  readonly model: string;
  readonly signal: AbortSignal;
  /** Written by the engine, read by whoever meters. */
  readonly report: CallReport;
}

export interface CallReport {
  /** Tokens so far. The engine replaces it before `respond` resolves; callable at any time after. */
  read: () => UsageReading;
  /** Set by the engine when it ended a stream with an error event. */
  failure: ApiError | undefined;
}

export interface EngineModel {
  readonly id: string;
  /** Unix seconds. */
  readonly created: number;
  readonly ownedBy: string;
  /** Tokens that prompt and completion may take together, where known. */
  readonly contextSize?: number;
}

export type EngineState = "stopped" | "starting" | "ready" | "failed";

export interface EngineStatus {
  readonly state: EngineState;
  /** Why it isn't ready, in a sentence. */
  readonly reason?: string;
  /** Requests that hold a sequence or an upstream connection. */
  readonly active: number;
  /** Requests that wait for one. */
  readonly queued: number;
  /** Facts worth showing: threads, context size, sequences, measured tokens a second. */
  readonly details: Readonly<Record<string, string | number | boolean | null>>;
}

export type Prompt =
  | {
      readonly kind: "chat";
      readonly messages: readonly ChatMessage[];
      /** Extra variables for the template (`chat_template_kwargs`). */
      readonly templateArguments?: Readonly<Record<string, unknown>>;
    }
  | { readonly kind: "text"; readonly text: string }
  /** What stands between the two is asked for; only of models with infill tokens. */
  | { readonly kind: "infill"; readonly prefix: string; readonly suffix: string }
  | { readonly kind: "tokens"; readonly tokens: readonly number[] };

export interface Sampling {
  /** 0 is greedy. */
  readonly temperature: number;
  readonly topP: number;
  /** 0: off. */
  readonly topK: number;
  readonly minP: number;
  /** uint32; the caller always gives one, random where the client gave none. */
  readonly seed: number;
  readonly frequencyPenalty: number;
  readonly presencePenalty: number;
  /** Token id -> -100..100. */
  readonly logitBias: ReadonlyMap<number, number>;
}

export interface GenerateRequest {
  readonly model: string;
  readonly prompt: Prompt;
  /** Undefined: until the model ends, or the context is full. */
  readonly maxTokens: number | undefined;
  readonly sampling: Sampling;
  readonly stop: readonly string[];
  /** Tools that a chat may call; undefined: none. */
  readonly tools?: ToolUse | undefined;
  /** What the text must be; undefined: anything. */
  readonly format?: OutputFormat | undefined;
  /** Log probabilities of the tokens, each with so many of the likeliest beside it; undefined: none. */
  readonly topLogprobs?: number | undefined;
  /** The prompt's own text comes first, as one `text` (completions only). */
  readonly echo?: boolean | undefined;
  readonly signal: AbortSignal;
  /** Written by the engine as it goes, one object a generation. */
  readonly counts: GenerationCounts;
}

/** `param` is the request's field that asked for it, for the error of a schema that can't be held to. */
export type OutputFormat =
  | { readonly kind: "json_object"; readonly param: string }
  | { readonly kind: "json_schema"; readonly schema: unknown; readonly param: string };

/** A token with its log probability under the model itself, whatever temperature it was drawn at. */
export interface TokenLogprob extends ScoredToken {
  /** The likeliest tokens in its place, best first. */
  readonly top: readonly ScoredToken[];
}

export interface ScoredToken {
  /** Its text; what is no whole character is U+FFFD. */
  readonly token: string;
  readonly bytes: readonly number[];
  /** Null for the very first token of an echoed prompt: nothing stands before it. */
  readonly logprob: number | null;
}

export interface GenerationCounts {
  promptTokens: number;
  cachedTokens: number;
  completionTokens: number;
  /** Those of the completion tokens that were reasoning. */
  reasoningTokens: number;
}

export type GenerateEvent =
  /** The prompt was accepted and computed; `counts` has its tokens. */
  | { readonly type: "prompt" }
  /** Whole characters only; never a part of a stop string. `logprobs`: of the tokens that end in this piece. */
  | { readonly type: "text"; readonly text: string; readonly logprobs?: readonly TokenLogprob[] }
  /** What a think-tag model says to itself. */
  | { readonly type: "reasoning"; readonly text: string }
  /** A call begins; its arguments follow as pieces of JSON text. */
  | { readonly type: "toolCall"; readonly index: number; readonly id: string; readonly name: string }
  | { readonly type: "toolArguments"; readonly index: number; readonly text: string }
  | { readonly type: "finish"; readonly reason: FinishReason; readonly stopSequence?: string };

/** `tool_calls` if and only if there is at least one call and the model ended by itself. */
export type FinishReason = "stop" | "length" | "tool_calls";
