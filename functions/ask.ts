import type { CallReport, EngineCall } from "../shared/engine.ts";
import { eachInput } from "../shared/openai/embeddings.ts";
import { invalidRequest } from "../shared/openai/errors.ts";
import { COMPLETIONS_MAX_TOKENS } from "../shared/openai/generation.ts";
import type { ChatRequest, CompletionRequest, EmbeddingRequest } from "../shared/openai/schemas.ts";
import { MAX_TOKENS } from "../shared/openai/usage.ts";
import type { Principal } from "../shared/principal.ts";
import type { Target } from "./backends/catalog.ts";
import type { Idempotency } from "./idempotency.ts";

/** A parsed request of one of the inference routes. */
export type Ask = {
  readonly requestId: string;
  readonly principal: Principal;
  /** Bytes of the request body, at most: no prompt has more tokens. */
  readonly bodyBytes: number;
  /** The engine's own bound on completion tokens, its context, where one is needed and nobody names it. */
  readonly contextSize?: number | undefined;
  /** Of a client that sent an `Idempotency-Key`. */
  readonly idempotency: Idempotency | undefined;
  /** Aborted when the client leaves. */
  readonly signal: AbortSignal;
  /** Keeps the host alive until a promise settles, after the answer has gone out. */
  readonly waitUntil: (promise: Promise<unknown>) => void;
} & (
  | { readonly route: "chat"; readonly body: ChatRequest }
  | { readonly route: "completions"; readonly body: CompletionRequest }
  | { readonly route: "embeddings"; readonly body: EmbeddingRequest }
);

/** Completion tokens of a model with a price where neither the client nor the configuration says: something must bound the cost. */
const DEFAULT_MAX_TOKENS = 4096;

export function isStream(ask: Ask): boolean {
  return ask.route !== "embeddings" && ask.body.stream === true;
}

/** The call as an engine gets it. */
export function callOf(ask: Ask, target: Target, signal: AbortSignal, report: CallReport): EngineCall {
  const context = { requestId: ask.requestId, model: target.model, signal, report };
  switch (ask.route) {
    case "chat":
      return { ...context, route: ask.route, body: withoutOurs(ask.body) };
    case "completions":
      return { ...context, route: ask.route, body: withoutOurs(ask.body) };
    case "embeddings":
      return { ...context, route: ask.route, body: { ...ask.body, usage: undefined } };
    default:
      return ask satisfies never;
  }
}

/** Without the field that is ours alone; a stream's cost is told in its usage, so that is asked for. */
function withoutOurs<Body extends ChatRequest | CompletionRequest>(body: Body): Body {
  if (body.usage === undefined) return body;
  const isTold = body.stream === true && body.usage.include_cost === true;
  const options = isTold ? { ...body.stream_options, include_usage: true } : body.stream_options;
  return { ...body, usage: undefined, stream_options: options };
}

/** `ask` with a cap on completion tokens where the client names none: what is held rests on it, so it is sent. */
export function withCap(ask: Ask, targets: readonly Target[]): Ask {
  const caps = capsOf(targets);
  const isPriced = needsBound(ask, targets) && ask.contextSize === undefined;
  const cap = caps.length > 0 ? Math.min(...caps) : isPriced ? DEFAULT_MAX_TOKENS : undefined;
  switch (ask.route) {
    case "chat": {
      const isOpen = cap !== undefined && completionLimit(ask) === undefined;
      return isOpen ? { ...ask, body: { ...ask.body, max_tokens: cap } } : ask;
    }
    case "completions": {
      const max_tokens = ask.body.max_tokens ?? caps[0] ?? COMPLETIONS_MAX_TOKENS;
      return { ...ask, body: { ...ask.body, max_tokens } };
    }
    case "embeddings":
      return ask;
    default:
      return ask satisfies never;
  }
}

/** Whether it costs by the token and nobody says how many. */
export function needsBound(ask: Ask, targets: readonly Target[]): boolean {
  const isPriced = targets.some(({ price }) => price.completionPicoUsd + price.reasoningPicoUsd > 0);
  return isPriced && capsOf(targets).length === 0 && completionLimit(ask) === undefined;
}

function capsOf(targets: readonly Target[]): readonly number[] {
  return targets.flatMap(({ maxTokens }) => maxTokens ?? []);
}

/** The completion tokens of one choice that the request allows, if it says. */
function completionLimit(ask: Ask): number | undefined {
  if (ask.route === "embeddings") return 0;
  const { max_tokens } = ask.body;
  if (ask.route === "completions") return max_tokens;
  const { max_completion_tokens } = ask.body;
  if (max_tokens === undefined || max_completion_tokens === undefined)
    return max_completion_tokens ?? max_tokens;
  // Older backends know the one alone.
  return Math.max(max_tokens, max_completion_tokens);
}

/** The completion tokens of all its choices. Throws a 400 for more than can be counted. */
export function completionBound(ask: Ask): number {
  const bound = (completionLimit(ask) ?? ask.contextSize ?? 0) * choicesOf(ask);
  if (bound <= MAX_TOKENS) return bound;
  const isModern = ask.route === "chat" && ask.body.max_completion_tokens !== undefined;
  const param = isModern ? "max_completion_tokens" : "max_tokens";
  throw invalidRequest(
    `Invalid '${param}': all choices together may have at most ${MAX_TOKENS} tokens.`,
    param,
    "invalid_value",
  );
}

function choicesOf(ask: Ask): number {
  if (ask.route === "embeddings") return 1;
  const { n = 1 } = ask.body;
  return ask.route === "chat" ? n : eachInput(ask.body.prompt).length * Math.max(n, ask.body.best_of ?? 1);
}
