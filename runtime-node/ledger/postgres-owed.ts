import type { Log } from "../../functions/deps.ts";
import { ApiError, unavailable } from "../../shared/openai/errors.ts";

/** Writes that must not get lost while the database is away: what ends a hold. */
export interface Owed {
  /**
   * What `write` resolves with. While the database is away it is tried again until it works, also after the caller was
   * told, by a 503, that it takes longer.
   */
  write<T>(write: () => Promise<T>): Promise<T>;
  /** Tries at once what waits; rejects where the database is still away. */
  flush(): Promise<void>;
  /** Gives what waits a last chance. */
  close(): Promise<void>;
}

/** How many may wait: some 10 MB. Beyond it, a request's lease runs out and a sweep settles it. */
const MAX_WAITING = 10_000;
/** How long a caller waits for a receipt that can't be written yet. */
const CALLER_WAITS_MS = 5000;
const MAX_PAUSE_MS = 5000;

export function createOwed(log: Log): Owed {
  /** Each resolves when it is done with, and rejects where the database is still away. */
  const waiting: (() => Promise<void>)[] = [];
  let flushing: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;

  const flush = async (): Promise<void> => {
    for (let next = waiting[0]; next !== undefined; next = waiting[0]) {
      await next();
      waiting.shift();
    }
  };
  const flushOnce = (): Promise<void> => {
    flushing ??= flush().finally(() => {
      flushing = undefined;
    });
    return flushing;
  };
  const flushLater = (pauseMs: number): void => {
    timer ??= setTimeout(() => {
      timer = undefined;
      flushOnce().then(
        () => log.info("What waited for Postgres is written"),
        () => flushLater(Math.min(pauseMs * 2, MAX_PAUSE_MS)),
      );
    }, pauseMs);
  };
  const wait = <T>(write: () => Promise<T>, away: ApiError): Promise<T> => {
    if (waiting.length >= MAX_WAITING) {
      log.error("Too many requests wait to be settled: one more is left to its lease", {
        waiting: MAX_WAITING,
      });
      return Promise.reject(away);
    }
    const written = Promise.withResolvers<T>();
    waiting.push(async () => {
      try {
        written.resolve(await write());
      } catch (error) {
        if (isAway(error)) throw error;
        log.error("A request that waited to be settled can't be", { reason: String(error) });
        written.reject(error);
      }
    });
    flushLater(100);
    const patience = setTimeout(
      () => written.reject(unavailable("The ledger can't be written now; it will be.", MAX_PAUSE_MS, away)),
      CALLER_WAITS_MS,
    );
    return written.promise.finally(() => clearTimeout(patience));
  };

  return {
    async write(write) {
      try {
        return await write();
      } catch (error) {
        if (!isAway(error)) throw error;
        return wait(write, error);
      }
    },
    flush: flushOnce,
    async close() {
      clearTimeout(timer);
      await flushOnce().catch(() =>
        log.error("Postgres is away at the end: what waits is left to its lease and a sweep", {
          waiting: waiting.length,
        }),
      );
    },
  };
}

function isAway(error: unknown): error is ApiError {
  return error instanceof ApiError && error.status === 503;
}
