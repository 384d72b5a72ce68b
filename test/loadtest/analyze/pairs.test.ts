import fc from "fast-check";
import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { describe, expect, it } from "vitest";
import {
  comparePairs,
  LEAST_PAIRS,
  overall,
  type Paired,
  pairsNeeded,
} from "../../../loadtest/analyze/pairs.ts";

const DELTA = 0.05;
/** Pairs of 10 s slices on the development machine, as SD of the log ratio (2.5 s slices measured, halved). */
const NOISE = { "requests/s": 0.058, "e2e p50": 0.03, "e2e p95": 0.12 } as const;

/** Two targets measured in pairs, B slower by `slower`, as noisy as measured, with a wild slice now and then. */
function measure(seed: number, pairs: number, slower: number): readonly Paired[] {
  const random = xoroshiro128plus(seed);
  const uniform = () => uniformFloat64(random);
  const gauss = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  // What the machine does in a slice hits all measures of the slice.
  const shared = Array.from({ length: pairs }, () => gauss() * (uniform() < 0.05 ? 3 : 1));
  return Object.entries(NOISE).map(([name, noise]) => {
    const better = name === "requests/s" ? "higher" : "lower";
    const sign = better === "higher" ? -1 : 1;
    const logs = shared.map((common) => sign * (Math.log1p(slower) + noise * (0.8 * common + 0.6 * gauss())));
    const a = Array.from({ length: pairs }, () => 100 * Math.exp(gauss() / 3));
    return {
      name,
      better,
      isTail: name.endsWith("p95"),
      a,
      b: a.map((each, at) => each * Math.exp(logs[at] ?? 0)),
    };
  });
}

/** Slices of two equal runs, each like the one before it: an AR(1) process. */
function drifting(random: ReturnType<typeof xoroshiro128plus>, pairs: number, correlation: number): Paired {
  const uniform = () => uniformFloat64(random);
  const gauss = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  let now = gauss();
  const logs = Array.from({ length: pairs }, () => {
    const log = now;
    now = correlation * now + Math.sqrt(1 - correlation ** 2) * gauss();
    return log;
  });
  const b = logs.map((log) => 100 * Math.exp(0.05 * log));
  return { name: "e2e", better: "lower", isTail: false, a: logs.map(() => 100), b };
}

describe("comparePairs", () => {
  it("is not fooled by slices of one run that are like their neighbours", () => {
    const missed = (isSerial: boolean) => {
      const random = xoroshiro128plus(7);
      const runs = Array.from({ length: 150 }, () => drifting(random, 12, 0.5));
      return runs
        .flatMap((run) => comparePairs([run], { delta: 0.01, isSerial }))
        .filter(({ low, high }) => low > 1 || high < 1).length;
    };
    const [independent, serial] = [missed(false), missed(true)];
    expect(independent).toBeGreaterThan(30);
    expect(serial).toBeLessThan(independent / 2);
  });

  it("calls two equal targets different in fewer than 1 of 20 runs", () => {
    const runs = 400;
    const different = Array.from({ length: runs }, (_, seed) =>
      overall(comparePairs(measure(seed + 1, 8, 0), { delta: DELTA })),
    ).filter((word) => word === "different").length;
    expect(different / runs).toBeLessThan(0.05);
  });

  it("finds a target that is 10 % slower in 8 pairs, in at least 19 of 20 runs, and never calls it faster", () => {
    const runs = 200;
    const ratios = Array.from({ length: runs }, (_, seed) =>
      comparePairs(measure(seed + 1, 8, 0.1), { delta: DELTA }),
    );
    const found = ratios.filter((each) => each.some(({ verdict }) => verdict === "worse")).length;
    expect(found / runs).toBeGreaterThanOrEqual(0.95);
    expect(ratios.flat().some(({ verdict }) => verdict === "better")).toBe(false);
  });

  it("covers the true ratio of every measure at once in about 95 of 100 runs", () => {
    const runs = 400;
    const covered = Array.from({ length: runs }, (_, seed) =>
      comparePairs(measure(seed + 1, 8, 0.1), { delta: DELTA }),
    ).filter((each) =>
      each.every(({ better, low, high }) => {
        const truth = better === "higher" ? 1 / 1.1 : 1.1;
        return low <= truth && truth <= high;
      }),
    ).length;
    expect(covered / runs).toBeGreaterThan(0.91);
    expect(covered / runs).toBeLessThan(0.99);
  });

  it("says nothing about fewer pairs than can show a difference", () => {
    const [ratio] = comparePairs([paired([1, 1, 1, 1, 1], [2, 2.1, 2, 1.9, 2])], { delta: DELTA });
    expect(ratio).toMatchObject({ verdict: "noise", low: 0, high: Number.POSITIVE_INFINITY });
  });

  it("calls targets that answer to the microsecond alike equal, and a fixed difference real", () => {
    const same = Array.from({ length: LEAST_PAIRS }, () => 50);
    const slower = same.map(() => 56);
    expect(comparePairs([paired(same, same)], { delta: DELTA })[0]?.verdict).toBe("equal");
    expect(comparePairs([paired(same, slower)], { delta: DELTA })[0]?.verdict).toBe("worse");
  });

  it("calls a difference below delta small, not slower", () => {
    const a = [100, 101, 99, 100, 102, 98, 100, 100];
    const b = a.map((each, at) => each * (1.04 + (at % 2 === 0 ? 0.02 : -0.02)));
    expect(comparePairs([paired(a, b)], { delta: DELTA })[0]?.verdict).toBe("small");
  });

  it("leaves out a measure that a pair lacks", () => {
    const whole = paired([1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]);
    const ratios = comparePairs([whole, paired([1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1])], { delta: DELTA });
    expect(ratios).toHaveLength(1);
  });

  it("turns its answer round when the targets change places, and doesn't see the unit", () => {
    const figures = fc.array(fc.tuple(latency, latency), { minLength: LEAST_PAIRS, maxLength: 9 });
    fc.assert(
      fc.property(figures, fc.double({ min: 0.001, max: 1000, noNaN: true }), (pairs, unit) => {
        const a = pairs.map(([each]) => each);
        const b = pairs.map(([, each]) => each);
        const [there] = comparePairs([paired(a, b)], { delta: DELTA });
        const [back] = comparePairs([paired(b, a)], { delta: DELTA });
        const [scaled] = comparePairs(
          [
            paired(
              a.map((x) => x * unit),
              b.map((x) => x * unit),
            ),
          ],
          {
            delta: DELTA,
          },
        );
        expect((back?.ratio ?? 0) * (there?.ratio ?? 0)).toBeCloseTo(1, 9);
        expect((back?.low ?? 0) * (there?.high ?? 0)).toBeCloseTo(1, 6);
        expect(scaled?.ratio).toBeCloseTo(there?.ratio ?? 0, 6);
        expect(there?.low).toBeLessThanOrEqual(there?.ratio ?? 0);
        expect(there?.high).toBeGreaterThanOrEqual(there?.ratio ?? 0);
      }),
      { numRuns: 50 },
    );
  });

  it("repeats itself, also where signs are drawn", () => {
    const noisy = measure(3, 20, 0.1);
    expect(comparePairs(noisy, { delta: DELTA })).toEqual(comparePairs(noisy, { delta: DELTA }));
  });
});

describe("pairsNeeded", () => {
  it("asks for four times the pairs when the interval is twice too wide, and for none more for a tail", () => {
    const same = Array.from({ length: 8 }, () => 50);
    const [ratio] = comparePairs([paired(same, same)], { delta: DELTA });
    if (ratio === undefined) throw new Error("one measure gives one ratio");
    const wide = { ...ratio, low: Math.exp(-0.0999), high: Math.exp(0.0999) };
    expect(pairsNeeded([wide], Math.expm1(0.05))).toBe(32);
    expect(pairsNeeded([{ ...wide, isTail: true }], Math.expm1(0.05))).toBe(LEAST_PAIRS);
    expect(pairsNeeded([ratio], 0.05)).toBe(LEAST_PAIRS);
  });
});

describe("overall", () => {
  it("is equal though a tail is noise, and different when a tail really differs", () => {
    const same = Array.from({ length: 8 }, () => 50);
    const noisy = [40, 60, 45, 70, 30, 55, 62, 38];
    const central = paired(same, same);
    const tail = (b: readonly number[]) => ({ ...paired(same, b), name: "e2e p95", isTail: true });
    expect(overall(comparePairs([central, tail(noisy)], { delta: DELTA }))).toBe("equal");
    expect(overall(comparePairs([central, { ...tail(noisy), isTail: false }], { delta: DELTA }))).toBe(
      "noise",
    );
    const twice = same.map((each) => each * 2);
    expect(overall(comparePairs([central, tail(twice)], { delta: DELTA }))).toBe("different");
  });
});

const latency = fc.double({ min: 0.5, max: 5000, noNaN: true });

function paired(a: readonly number[], b: readonly number[]): Paired {
  return { name: "e2e p50", better: "lower", isTail: false, a, b };
}
