/** How soon a failed process may start again. Pure but for the clock it is given. */

export interface BackoffOptions {
  readonly monotonic: () => number;
  /** 0..1. */
  readonly random?: () => number;
  readonly baseMs?: number;
  readonly maxMs?: number;
  /** So many failures within `windowMs` and it gives up for `restMs`. */
  readonly limit?: number;
  readonly windowMs?: number;
  readonly restMs?: number;
  /** After running so long, earlier failures count no more. */
  readonly healthyMs?: number;
}

export interface Backoff {
  /** A start began to serve. */
  succeeded(): void;
  /** A start failed, or what ran ended. `isPermanent`: nothing but a change helps, so it rests at once. */
  failed(isPermanent: boolean): void;
  /** Before the next start, in ms from now. */
  waitMs(): number;
  /** So long no start is tried, in ms; 0: one may be. */
  restMs(): number;
  /** Someone asks for a start by hand: it may try at once. */
  reset(): void;
}

export function createBackoff(options: BackoffOptions): Backoff {
  const {
    monotonic,
    random = Math.random,
    baseMs = 1000,
    maxMs = 60_000,
    limit = 5,
    windowMs = 600_000,
    restMs = 60_000,
    healthyMs = 300_000,
  } = options;
  let failures: number[] = [];
  let runningSince: number | undefined;
  let nextAt = 0;
  let restUntil = 0;

  return {
    succeeded() {
      runningSince = monotonic();
    },
    failed(isPermanent) {
      const now = monotonic();
      if (runningSince !== undefined && now - runningSince >= healthyMs) failures = [];
      runningSince = undefined;
      failures = [...failures.filter((at) => now - at < windowMs), now];
      const step = Math.min(maxMs, baseMs * 2 ** (failures.length - 1));
      nextAt = now + step * (0.75 + random() / 2); // Jitter: several engines must not come back in step.
      if (isPermanent || failures.length >= limit) restUntil = now + restMs;
    },
    waitMs: () => Math.max(0, nextAt - monotonic()),
    restMs: () => Math.max(0, restUntil - monotonic()),
    reset() {
      failures = [];
      nextAt = 0;
      restUntil = 0;
    },
  };
}
