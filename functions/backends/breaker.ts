import type { Clock } from "../deps.ts";

export interface Breaker {
  /** False while open: the target failed again and again and is left alone for a while. */
  isClosed(target: string): boolean;
  succeeded(target: string): void;
  failed(target: string): void;
}

export interface BreakerOptions {
  /** Failures in a row that open it. */
  readonly threshold?: number;
  /** How long it stays open before one call may try again (half-open), in ms. */
  readonly openMs?: number;
}

/** Counts failures in a row a target; no timers, so it costs nothing while nothing fails. */
export function createBreaker(
  clock: Clock,
  { threshold = 5, openMs = 10_000 }: BreakerOptions = {},
): Breaker {
  const failures = new Map<string, { count: number; openUntil: number }>();
  return {
    isClosed(target) {
      const state = failures.get(target);
      if (state === undefined || state.count < threshold) return true;
      if (clock.monotonic() < state.openUntil) return false;
      // Half-open: this caller tries, the others wait for what it finds.
      state.openUntil = clock.monotonic() + openMs;
      return true;
    },
    succeeded(target) {
      failures.delete(target);
    },
    failed(target) {
      const state = failures.get(target) ?? { count: 0, openUntil: 0 };
      state.count++;
      state.openUntil = clock.monotonic() + openMs;
      failures.set(target, state);
    },
  };
}
