import type { EngineCall } from "../../shared/engine.ts";
import { ApiError } from "../../shared/openai/errors.ts";
import type { Log } from "../deps.ts";
import type { Breaker } from "./breaker.ts";
import type { Target } from "./catalog.ts";

/**
 * Sends `call` to the pool's targets, one after the other until one answers: a weighted draw among the targets whose
 * breaker is closed, then the rest of them, then those whose breaker is open (trying beats failing). A call goes on
 * to the next target only while nothing of an answer exists: after `respond` resolved there is no second try.
 * Rejects with the last target's error. `onTry` is told of each target before it is asked.
 */
export async function dispatch(
  call: EngineCall,
  targets: readonly Target[],
  breaker: Breaker,
  log: Log,
  onTry: (target: Target) => void = () => {},
): Promise<Response> {
  let last: unknown;
  for (const target of inOrder(targets, breaker)) {
    onTry(target);
    try {
      const response = await target.engine.respond({ ...call, model: target.model });
      breaker.succeeded(target.engine.id);
      return response;
    } catch (thrown) {
      if (call.signal.aborted || !isWorthAnotherTry(thrown)) {
        if (thrown instanceof ApiError && thrown.status < 500) breaker.succeeded(target.engine.id);
        throw thrown;
      }
      const fields = { requestId: call.requestId, engine: target.engine.id, error: String(thrown) };
      if (isNotYet(thrown)) log.debug("engine is not ready", fields);
      else {
        breaker.failed(target.engine.id);
        log.warn("engine failed", fields);
      }
      last = thrown;
    }
  }
  throw last;
}

/** A fault of the engine, or its lack of room; anything about the request itself would fail everywhere. */
function isWorthAnotherTry(thrown: unknown): boolean {
  return !(thrown instanceof ApiError) || thrown.status >= 500 || thrown.status === 429;
}

/** The engine's own word that it isn't ready (it loads, it closes): nothing broke, so there is no cause. */
function isNotYet(thrown: unknown): boolean {
  return thrown instanceof ApiError && thrown.status === 503 && thrown.cause === undefined;
}

function* inOrder(targets: readonly Target[], breaker: Breaker): Generator<Target, void, void> {
  const open: Target[] = [];
  for (const target of drawn(targets)) {
    if (targets.length === 1 || breaker.isClosed(target.engine.id)) yield target;
    else open.push(target);
  }
  yield* open;
}

/** The targets in random order, heavier ones earlier in proportion to their weight (Efraimidis and Spirakis, 2006). */
function drawn(targets: readonly Target[]): readonly Target[] {
  return targets
    .map((target) => ({ target, key: -Math.log(1 - Math.random()) / target.weight }))
    .sort((a, b) => a.key - b.key)
    .map(({ target }) => target);
}
