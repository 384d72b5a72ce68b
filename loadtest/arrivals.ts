import { exponential, gamma, randomFor } from "./random.ts";

/** How requests of the open loop follow each other. */
export type Arrivals =
  | { readonly kind: "constant" }
  | { readonly kind: "poisson" }
  /** Burstier than Poisson below shape 1 (vLLM's `--burstiness`). */
  | { readonly kind: "gamma"; readonly shape: number };

export interface ArrivalPlan {
  readonly arrivals: Arrivals;
  readonly requestsPerSecond: number;
  /** The rate at the end of `durationMs`, reached in a straight line; null: constant. */
  readonly rampTo: number | null;
  /** Null: without end. A ramp has one. */
  readonly durationMs: number | null;
  readonly seed: number;
}

/** `constant`, `poisson` or `gamma:SHAPE`; undefined when it is none of them. */
export function parseArrivals(text: string): Arrivals | undefined {
  if (text === "constant" || text === "poisson") return { kind: text };
  const shape = Number(/^gamma:(\d+(?:\.\d+)?)$/.exec(text)?.[1]);
  return shape > 0 ? { kind: "gamma", shape } : undefined;
}

/**
 * The moments at which requests are due, in ms from the start, one by one: a schedule of any length takes no memory.
 * Gaps of mean 1 are laid along the expected number of requests, which makes a ramp of any of the three kinds.
 */
export function* arrivalTimes({ arrivals, requestsPerSecond, rampTo, durationMs, seed }: ArrivalPlan) {
  const random = randomFor(seed);
  const end = durationMs ?? Number.POSITIVE_INFINITY;
  const slope = rampTo === null ? 0 : (rampTo - requestsPerSecond) / end / 1000;
  const gap = () => {
    switch (arrivals.kind) {
      case "constant":
        return 1;
      case "poisson":
        return exponential(random);
      case "gamma":
        return gamma(random, arrivals.shape);
      default:
        return arrivals satisfies never;
    }
  };
  let expected = arrivals.kind === "constant" ? 0 : gap();
  for (;;) {
    const at = timeOf(expected, requestsPerSecond / 1000, slope);
    // Not a number: a falling ramp has reached its last request.
    if (!(at < end)) return;
    yield at;
    expected += gap();
  }
}

/** When `rate * t + slope * t² / 2` requests are expected. */
function timeOf(expected: number, rate: number, slope: number): number {
  if (slope === 0) return expected / rate;
  return (Math.sqrt(rate * rate + 2 * slope * expected) - rate) / slope;
}
