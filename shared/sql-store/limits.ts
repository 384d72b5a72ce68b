/**
 * Rates by GCRA, the leaky bucket as a meter: a burst of one minute's worth, then a steady flow. A debt is what was taken
 * and time has not yet given back, in 1/60000 of a request or token. A millisecond gives back exactly the limit, so all
 * is whole numbers and no fraction is ever lost.
 */

/** Of a debt, in one request or token. */
export const UNIT = 60_000;
const WINDOW_MS = 60_000;

/** What is left of a debt. A clock that was set back gives nothing back; a limit that was lowered is at most used up. */
export function debtAfter(debt: number, elapsedMs: number, perMinute: number): number {
  const flowed = Math.min(Math.max(elapsedMs, 0), WINDOW_MS) * perMinute;
  return Math.max(0, Math.min(debt, perMinute * UNIT) - flowed);
}

/** When `quantity` would fit, in ms: 0 now, null never, where it is more than a minute's worth. */
export function waitMs(debt: number, quantity: number, perMinute: number): number | null {
  if (quantity > perMinute) return null;
  return Math.max(0, Math.ceil((debt + (quantity - perMinute) * UNIT) / perMinute));
}

export function remaining(debt: number, perMinute: number): number {
  return Math.floor((perMinute * UNIT - debt) / UNIT);
}

/** Until it is whole again. */
export function resetMs(debt: number, perMinute: number): number {
  return Math.ceil(debt / perMinute);
}

/** The calendar month, UTC, as a number that sorts: 2026-11 -> 24322. */
export function monthOf(ms: number): number {
  const date = new Date(ms);
  return date.getUTCFullYear() * 12 + date.getUTCMonth();
}

/** Unix ms of a month's start. */
export function startOfMonth(month: number): number {
  return Date.UTC(Math.floor(month / 12), month % 12);
}
