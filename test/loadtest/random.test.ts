import fc from "fast-check";
import { expect, test } from "vitest";
import { arrivalTimes, parseArrivals } from "../../loadtest/arrivals.ts";
import {
  exponential,
  gamma,
  integer,
  type Random,
  randomFor,
  uniform,
  weighted,
} from "../../loadtest/random.ts";

const DRAWS = 40_000;

function moments(draw: (random: Random) => number) {
  const random = randomFor(7);
  const values = Array.from({ length: DRAWS }, () => draw(random));
  const mean = values.reduce((sum, value) => sum + value, 0) / DRAWS;
  return { mean, variance: values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / DRAWS };
}

// Seeded, so the figures are the same each time; the bounds are some five standard errors.
test("exponential gaps have mean 1 and variance 1", () => {
  const { mean, variance } = moments(exponential);
  expect(mean).toBeCloseTo(1, 1);
  expect(Math.abs(variance - 1)).toBeLessThan(0.08);
});

test.each([0.25, 0.5, 1, 2.5, 9])("gamma gaps of shape %d have mean 1 and variance 1 / shape", (shape) => {
  const { mean, variance } = moments((random) => gamma(random, shape));
  expect(Math.abs(mean - 1)).toBeLessThan(5 * Math.sqrt(1 / shape / DRAWS));
  expect(Math.abs(variance * shape - 1)).toBeLessThan(0.2);
});

test("uniform draws and whole numbers stay in their range and reach its ends", () => {
  const random = randomFor(3);
  const drawn = Array.from({ length: 2000 }, () => integer(random, 20, 29));
  expect([Math.min(...drawn), Math.max(...drawn)]).toEqual([20, 29]);
  expect(moments((each) => uniform(each, 1, 3)).mean).toBeCloseTo(2, 1);
});

test("weights are kept", () => {
  const random = randomFor(5);
  const counts = [0, 0, 0, 0];
  for (let n = 0; n < 20_000; n++) {
    const index = weighted(random, [3, 5, 10, 2]);
    counts[index] = (counts[index] ?? 0) + 1;
  }
  expect(counts.map((count) => Math.round(count / 1000))).toEqual([3, 5, 10, 2]);
});

test("each place has draws of its own, the same in every run", () => {
  const first = (...place: number[]) => randomFor(1, ...place).next();
  expect(first(7, 3)).toBe(first(7, 3));
  expect(new Set([first(7, 3), first(3, 7), first(7, 4), first(8, 3), first(7)]).size).toBe(5);
});

test("a schedule has the rate it is asked for, whatever its kind", () => {
  for (const text of ["constant", "poisson", "gamma:0.5"]) {
    const arrivals = parseArrivals(text);
    if (arrivals === undefined) throw new Error(text);
    const plan = { arrivals, requestsPerSecond: 50, rampTo: null, durationMs: 200_000, seed: 2 };
    const count = [...arrivalTimes(plan)].length;
    expect(Math.abs(count - 10_000)).toBeLessThan(600);
  }
  expect(parseArrivals("gamma:0")).toBeUndefined();
  expect(parseArrivals("uniform")).toBeUndefined();
});

test("a ramp rises or falls in a straight line", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 40 }), (from, to) => {
      const arrivals = { kind: "constant" } as const;
      const plan = { arrivals, requestsPerSecond: from, rampTo: to, durationMs: 10_000, seed: 1 };
      const times = [...arrivalTimes(plan)];
      const expectedBy = (t: number) => (from * t + ((to - from) / 10) * ((t * t) / 2)) | 0;
      expect(Math.abs(times.length - expectedBy(10))).toBeLessThanOrEqual(1);
      const half = times.filter((at) => at < 5000).length;
      expect(Math.abs(half - expectedBy(5))).toBeLessThanOrEqual(1);
      expect(times).toEqual([...times].sort((a, b) => a - b));
    }),
    { numRuns: 30 },
  );
});

test("a schedule without end takes no memory", () => {
  const arrivals = { kind: "poisson" } as const;
  const plan = { arrivals, requestsPerSecond: 10, rampTo: null, durationMs: null, seed: 1 };
  let last = 0;
  let count = 0;
  for (const at of arrivalTimes(plan)) {
    last = at;
    if (++count === 5000) break;
  }
  expect(last / 500_000).toBeCloseTo(1, 0);
});
