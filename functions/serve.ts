import type { CallReport } from "../shared/engine.ts";
import type { Outcome } from "../shared/ledger.ts";
import { formatUsd } from "../shared/money.ts";
import { toApiError } from "../shared/openai/errors.ts";
import { SSE_HEADERS } from "../shared/openai/sse.ts";
import { NO_USAGE } from "../shared/openai/usage.ts";
import { type Admitted, admit, requireModel } from "./admit.ts";
import { type Ask, callOf, isStream, needsBound, withCap } from "./ask.ts";
import { createBreaker } from "./backends/breaker.ts";
import type { Catalog, Target } from "./backends/catalog.ts";
import { dispatch } from "./backends/dispatch.ts";
import { openBill } from "./bill.ts";
import { streamWithCost, withCost } from "./cost.ts";
import type { Deps } from "./deps.ts";
import { idempotentId, replayed } from "./idempotency.ts";
import { meter, outcomeOf } from "./meter.ts";
import type { Traffic } from "./traffic.ts";

export type Serve = (ask: Ask) => Promise<Response>;

/** The one way from a route to an engine: admit, dispatch, meter. Rejects with an `ApiError` before the first byte. */
export function createServe(deps: Deps, catalog: Catalog, traffic: Traffic): Serve {
  const breaker = createBreaker(deps.clock);

  return async function serveCall(asked) {
    const [first, ...others] = catalog.targets(asked.body.model);
    if (first === undefined) throw new Error(`The pool of ${asked.body.model} is empty`);
    const targets = [first, ...others] as const;
    requireModel(asked.principal, asked.body.model, first.id);
    const { account, keyId } = asked.principal;
    const { idempotency } = asked;
    const holdId =
      idempotency === undefined
        ? `rcpt_${crypto.randomUUID().replaceAll("-", "")}`
        : await idempotentId(account, keyId, idempotency.key);
    const replay = async (): Promise<Response | undefined> => {
      const kept = idempotency === undefined ? undefined : await deps.answers.get(holdId);
      return idempotency && kept && replayed(holdId, kept, idempotency);
    };
    const again = await replay();
    if (again !== undefined) return again;

    const contextSize = needsBound(asked, targets) ? await contextSizeOf(targets, asked.signal) : undefined;
    const ask = withCap({ ...asked, contextSize }, targets);
    const startedAt = deps.clock.monotonic();
    const report: CallReport = { read: () => ({ usage: NO_USAGE, source: "engine" }), failure: undefined };
    // workerd runs nothing more of a request whose client has left, unless something is waited for: neither the place
    // nor the hold would be freed (test/clients, workerd 1.20261117.1).
    const ended = Promise.withResolvers<void>();
    ask.waitUntil(ended.promise);
    let admitted: Admitted;
    try {
      admitted = await admit(deps, traffic, { holdId, ask, targets, report });
    } catch (refused) {
      ended.resolve();
      // The first request with this key may have ended since.
      const late = await replay();
      if (late !== undefined) return late;
      throw refused;
    }
    const bill = openBill(deps, { requestId: ask.requestId, admitted, first, report, startedAt });
    const settle = async (outcome: Outcome): Promise<void> => {
      traffic.ended(report.read().usage, outcome !== "completed");
      await bill.settle(outcome);
      ended.resolve();
    };

    const call = callOf(ask, first, bill.signal, report);
    const opening = dispatch(call, targets, breaker, deps.log, bill.onTry);
    const headers = { "x-sluice-receipt": holdId, ...admitted.headers };
    const asksCost = ask.body.usage?.include_cost === true;
    const { keepAliveMs } = deps.config.limits;
    if (isStream(ask)) {
      // A slow prefill must not keep the client without headers: after a while they go out, and comments follow.
      const waitMs = keepAliveMs === 0 ? undefined : keepAliveMs / 2;
      const opened = await settledWithin(opening, ask.signal, waitMs);
      if (opened.state === "failed") {
        await settle(failedOutcome(ask, opened.reason));
        throw opened.reason;
      }
      const costed = (response: Response) => streamWithCost(response, bill.costOf);
      const body = meter(asksCost ? opening.then(costed) : opening, {
        report,
        client: ask.signal,
        onLeave: bill.onLeave,
        keepAliveMs,
        checkpoint: bill.checkpoint,
        onFirstToken: bill.onFirstToken,
        settle: (outcome) => void settle(outcome),
      });
      return new Response(body, { headers: { ...SSE_HEADERS, ...headers } });
    }

    ask.signal.addEventListener("abort", bill.onLeave, { once: true });
    if (ask.signal.aborted) bill.onLeave();
    let response: Response;
    try {
      response = await opening;
    } catch (thrown) {
      await settle(failedOutcome(ask, thrown));
      throw thrown;
    } finally {
      ask.signal.removeEventListener("abort", bill.onLeave);
    }
    const cost = formatUsd(bill.costOf(report.read().usage));
    const outcome = ask.signal.aborted ? "client_aborted" : outcomeOf(report.failure);
    const all = { "content-type": "application/json", ...headers, "x-sluice-cost-usd": cost };
    try {
      if (!asksCost && idempotency === undefined) return new Response(response.body, { headers: all });
      const json: unknown = await response.json();
      const body = JSON.stringify(asksCost ? withCost(json, bill.costOf) : json);
      // Before it is settled: a retry that is told that it was billed finds the answer.
      if (idempotency !== undefined) {
        const { fingerprint } = idempotency;
        await deps.answers
          .put(holdId, { fingerprint, body }, deps.config.idempotencyTtlMs)
          .catch((error: unknown) =>
            // A retry is told then that it was billed, not what the answer was.
            deps.log.warn("answer not kept", { requestId: ask.requestId, error: String(error) }),
          );
      }
      return new Response(body, { headers: all });
    } finally {
      const done = settle(outcome);
      if (!deps.store.isDistant) await done;
    }
  };
}

/** Engines of this host stop by themselves where their context is full: that bounds what a request can cost. */
async function contextSizeOf(targets: readonly Target[], signal: AbortSignal): Promise<number | undefined> {
  if (targets.some(({ backend }) => backend !== undefined)) return undefined;
  const sizes = targets.map(
    async ({ engine, model }) =>
      (await engine.models(signal)).find(({ id }) => id === model)?.contextSize ?? Number.POSITIVE_INFINITY,
  );
  const largest = Math.max(...(await Promise.all(sizes)));
  return Number.isFinite(largest) ? largest : undefined;
}

function failedOutcome(ask: Ask, reason: unknown): Outcome {
  return ask.signal.aborted ? "client_aborted" : outcomeOf(toApiError(reason));
}

type Opened =
  | { readonly state: "done" }
  | { readonly state: "failed"; readonly reason: unknown }
  | { readonly state: "waiting" };

/** How `promise` stands once it has settled, the client has left, or `ms` have passed (undefined: no limit). */
async function settledWithin(
  promise: Promise<unknown>,
  client: AbortSignal,
  ms: number | undefined,
): Promise<Opened> {
  const waited = Promise.withResolvers<Opened>();
  const stopWaiting = () => waited.resolve({ state: "waiting" });
  const timer = ms === undefined ? undefined : setTimeout(stopWaiting, ms);
  client.addEventListener("abort", stopWaiting, { once: true });
  if (client.aborted) stopWaiting();
  const settled = promise.then(
    (): Opened => ({ state: "done" }),
    (reason: unknown): Opened => ({ state: "failed", reason }),
  );
  try {
    return await Promise.race([settled, waited.promise]);
  } finally {
    if (timer !== undefined) clearTimeout(timer);
    client.removeEventListener("abort", stopWaiting);
  }
}
