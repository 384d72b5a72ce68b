import type { CallReport, EngineCall } from "../shared/engine.ts";
import type { Outcome } from "../shared/ledger.ts";
import { ApiError } from "../shared/openai/errors.ts";
import type { ChatRequest, CompletionRequest, EmbeddingRequest } from "../shared/openai/schemas.ts";
import { SSE_HEADERS } from "../shared/openai/sse.ts";
import { NO_USAGE } from "../shared/openai/usage.ts";
import { admit, LEASE_MS, withCap } from "./admit.ts";
import { createBreaker } from "./backends/breaker.ts";
import type { Catalog, Target } from "./backends/catalog.ts";
import { dispatch } from "./backends/dispatch.ts";
import type { Deps } from "./deps.ts";
import { meter, outcomeOf } from "./meter.ts";
import type { Traffic } from "./traffic.ts";

/** A parsed request of one of the inference routes. */
export type Ask = {
  readonly requestId: string;
  readonly account: string;
  /** Characters of the request body. */
  readonly bodyChars: number;
  /** Aborted when the client leaves. */
  readonly signal: AbortSignal;
  /** Keeps the host alive until a promise settles, after the answer has gone out. */
  readonly waitUntil: (promise: Promise<unknown>) => void;
} & (
  | { readonly route: "chat"; readonly body: ChatRequest }
  | { readonly route: "completions"; readonly body: CompletionRequest }
  | { readonly route: "embeddings"; readonly body: EmbeddingRequest }
);

export type Serve = (ask: Ask) => Promise<Response>;

/** The one way from a route to an engine: admit, dispatch, meter. Rejects with an `ApiError` before the first byte. */
export function createServe(deps: Deps, catalog: Catalog, traffic: Traffic): Serve {
  const breaker = createBreaker(deps.clock);

  return async function serveCall(asked) {
    const targets = catalog.targets(asked.body.model);
    const [target] = targets;
    if (target === undefined) throw new Error(`The pool of ${asked.body.model} is empty`);
    const ask = withCap(asked, target);
    const holdId = crypto.randomUUID();
    await admit(deps, traffic, { holdId, target, ask });
    // workerd runs nothing more of a request whose client has left, unless something is waited for: neither the place
    // nor the hold would be freed (test/clients, workerd 1.20261117.1).
    const ended = Promise.withResolvers<void>();
    ask.waitUntil(ended.promise);

    const abort = new AbortController();
    const report: CallReport = { read: () => ({ usage: NO_USAGE, basis: "exact" }), failure: undefined };
    const call = callOf(ask, target, AbortSignal.any([ask.signal, abort.signal]), report);

    const logLost = (error: unknown) =>
      deps.log.error("ledger failed", { requestId: ask.requestId, error: String(error) });
    /** Charges what the engine counted. What no engine took is freed. */
    const settle = (outcome: Outcome): Promise<unknown> => {
      const reading = report.read();
      traffic.ended(reading.usage, outcome !== "completed");
      const { promptTokens, completionTokens } = reading.usage;
      const isFree = outcome !== "completed" && promptTokens + completionTokens === 0;
      const done = isFree ? deps.ledger.void(holdId) : deps.ledger.settle(holdId, { ...reading, outcome });
      return done.catch(logLost).finally(ended.resolve);
    };

    const opening = dispatch(call, targets, breaker, deps.log);
    const { keepAliveMs } = deps.config.limits;
    if (isStream(ask)) {
      // A slow prefill must not keep the client without headers: after a while they go out, and comments follow.
      const first = await settledWithin(
        opening,
        keepAliveMs === 0 ? Number.POSITIVE_INFINITY : keepAliveMs / 2,
      );
      if (first.state === "failed") {
        await settle(call.signal.aborted ? "client_aborted" : "upstream_error");
        throw clientError(call, first.reason);
      }
      const body = meter(opening, {
        report,
        abort,
        signal: call.signal,
        keepAliveMs,
        checkpointMs: LEASE_MS / 3,
        checkpoint: () => void deps.ledger.checkpoint(holdId, report.read().usage).catch(logLost),
        settle: (outcome) => void settle(outcome),
      });
      return new Response(body, { headers: SSE_HEADERS });
    }
    try {
      const response = await opening;
      await settle(outcomeOf(report.failure));
      return response;
    } catch (thrown) {
      await settle(call.signal.aborted ? "client_aborted" : "upstream_error");
      throw clientError(call, thrown);
    }
  };
}

function isStream(ask: Ask): boolean {
  return ask.route !== "embeddings" && ask.body.stream === true;
}

function callOf(ask: Ask, target: Target, signal: AbortSignal, report: CallReport): EngineCall {
  const context = { requestId: ask.requestId, model: target.model, signal, report };
  switch (ask.route) {
    case "chat":
      return { ...context, route: ask.route, body: ask.body };
    case "completions":
      return { ...context, route: ask.route, body: ask.body };
    case "embeddings":
      return { ...context, route: ask.route, body: ask.body };
    default:
      return ask satisfies never;
  }
}

/** Nobody reads the answer of a client that left; the status is for the log. */
function clientError(call: EngineCall, thrown: unknown): unknown {
  return call.signal.aborted
    ? new ApiError(499, "The client closed the request.", { cause: thrown })
    : thrown;
}

type Settled =
  | { readonly state: "done" }
  | { readonly state: "failed"; readonly reason: unknown }
  | { readonly state: "waiting" };

async function settledWithin(promise: Promise<unknown>, ms: number): Promise<Settled> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const waiting = new Promise<Settled>((resolve) => {
    if (Number.isFinite(ms)) timer = setTimeout(() => resolve({ state: "waiting" }), ms);
  });
  const settled = promise.then(
    (): Settled => ({ state: "done" }),
    (reason: unknown): Settled => ({ state: "failed", reason }),
  );
  try {
    return await Promise.race([settled, waiting]);
  } finally {
    if (timer !== undefined) clearTimeout(timer);
  }
}
