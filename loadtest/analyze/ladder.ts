/** One step of a sweep: a rate or a concurrency, and whether every objective held there. */
export interface Step {
  readonly load: number;
  readonly holds: boolean;
}

export interface Ladder {
  /** Rising loads to try in turn until one breaks. */
  readonly rungs: readonly number[];
  /** Concurrencies are whole numbers, rates are not. */
  readonly isWhole: boolean;
}

/** Stop when the load that breaks is within this factor of the one that holds. */
const PRECISION = 1.05;

/** Rungs for a range: each twice the one below, the last exactly `to`. */
export function rungsOf(from: number, to: number): readonly number[] {
  const rungs: number[] = [];
  for (let load = from; load < to; load *= 2) rungs.push(load);
  return [...rungs, to];
}

/**
 * The load to try next, or undefined when the answer is known: up the ladder until a rung breaks, then by
 * halves (of the ratio) between the highest that holds and the lowest that breaks. A sweep whose lowest rung
 * breaks ends there.
 */
export function nextLoad(steps: readonly Step[], { rungs, isWhole }: Ladder): number | undefined {
  const broken = Math.min(...steps.filter(({ holds }) => !holds).map(({ load }) => load));
  if (broken === Number.POSITIVE_INFINITY) {
    const reached = Math.max(0, ...steps.map(({ load }) => load));
    return rungs.find((rung) => rung > reached);
  }
  const held = highestHeld(steps);
  if (held === undefined || broken / held <= PRECISION) return undefined;
  const middle = Math.sqrt(held * broken);
  if (!isWhole) return middle;
  const whole = Math.round(middle);
  return [whole, whole - 1, whole + 1].find((load) => load > held && load < broken);
}

/**
 * The highest load that held below every load that broke; undefined when none did. A step that held above a
 * broken one was luck, and is not counted.
 */
export function highestHeld(steps: readonly Step[]): number | undefined {
  const broken = Math.min(...steps.filter(({ holds }) => !holds).map(({ load }) => load));
  const held = steps.filter(({ load, holds }) => holds && load < broken).map(({ load }) => load);
  return held.length === 0 ? undefined : Math.max(...held);
}
