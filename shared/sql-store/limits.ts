/** Rates by GCRA (the leaky bucket as a meter) in whole microseconds: a burst of one minute's worth, then a steady flow. */

export const WINDOW_US = 60_000_000;

export type Taken =
  | { readonly ok: true; readonly fullAtUs: number }
  /** When it would fit; null: never, it is more than a minute's worth. */
  | { readonly ok: false; readonly retryAfterMs: number | null };

/**
 * Takes `quantity` of a rate whose bucket is whole again at `fullAtUs`. A refusal changes nothing: what is asked for
 * later is not made to wait longer by it.
 */
export function take(fullAtUs: number, nowUs: number, quantity: number, perMinute: number): Taken {
  if (quantity > perMinute) return { ok: false, retryAfterMs: null };
  const next = Math.max(fullAtUs, nowUs) + Math.ceil((quantity * WINDOW_US) / perMinute);
  const overUs = next - nowUs - WINDOW_US;
  return overUs <= 0 ? { ok: true, fullAtUs: next } : { ok: false, retryAfterMs: Math.ceil(overUs / 1000) };
}

/** Gives back what was taken too much; never more than makes the bucket whole. */
export function giveBack(fullAtUs: number, quantity: number, perMinute: number): number {
  return fullAtUs - Math.floor((quantity * WINDOW_US) / perMinute);
}

export function remaining(fullAtUs: number, nowUs: number, perMinute: number): number {
  const owedUs = Math.min(WINDOW_US, Math.max(0, fullAtUs - nowUs));
  return Math.floor(((WINDOW_US - owedUs) * perMinute) / WINDOW_US);
}

export function resetMs(fullAtUs: number, nowUs: number): number {
  return Math.ceil(Math.max(0, fullAtUs - nowUs) / 1000);
}

/** The calendar month, UTC, as a number that sorts: 2026-11 -> 24322. */
export function monthOf(ms: number): number {
  const date = new Date(ms);
  return date.getUTCFullYear() * 12 + date.getUTCMonth();
}
