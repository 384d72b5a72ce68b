import { describe, expect, it } from "vitest";
import { comparePairs, overall } from "../../../loadtest/analyze/pairs.ts";
import { pairedSlices, pairsOf, sliceOf } from "../../../loadtest/analyze/slices.ts";
import { madeResult } from "../report/made-result.ts";

const DELTA = 0.05;

describe("pairedSlices", () => {
  it("leaves out the warm-up and the end, and cuts the rest into tens of seconds", () => {
    // 90 s with 10 s before and 2 s after: 78 s are 7 slices.
    const { series } = madeResult();
    const [requests, , , ttftP95] = pairedSlices(series, series);
    expect(requests?.a).toHaveLength(7);
    const first = series.slice(10, 20);
    const good = first.map((each) => each.requestsPerSecond - each.failuresPerSecond);
    expect(requests?.a[0]).toBeCloseTo(good.reduce((sum, each) => sum + each, 0) / 10);
    expect(ttftP95?.a[0]).toBe(first[9]?.ttft?.p95);
  });

  it("makes the slices of a long run longer, not more", () => {
    const { series } = madeResult({ seconds: 600 });
    expect(pairedSlices(series, series)[0]?.a).toHaveLength(12);
  });

  it("pairs as many as the shorter run has, and none where one has none", () => {
    const long = madeResult({ seconds: 90 }).series;
    expect(pairedSlices(long, madeResult({ seconds: 60 }).series)[0]?.b).toHaveLength(4);
    expect(pairedSlices(long, madeResult({ seconds: 15 }).series)).toEqual([]);
  });
});

it("compares no chunks as tokens: servers put different numbers of tokens into one", () => {
  const { aggregated } = madeResult();
  expect(sliceOf(aggregated).tokensPerSecond).toBeGreaterThan(0);
  expect(sliceOf({ ...aggregated, tokenSource: "chunks" })).toMatchObject({
    tokensPerSecond: undefined,
    tpotP50: undefined,
    ttftP50: aggregated.metrics.ttft?.p50,
  });
});

describe("failures", () => {
  it("are no throughput: a server that fails at once is not faster", () => {
    const { aggregated } = madeResult();
    const failing = {
      ...aggregated,
      requests: 1000,
      failures: 500,
      requestsPerSecond: 50,
      failuresPerSecond: 25,
    };
    expect(sliceOf(failing)).toMatchObject({ requestsPerSecond: 25, successRate: 50 });
  });

  it("make one server worse than another that answers as fast", () => {
    const { aggregated } = madeResult({ failuresPerSecond: 0 });
    const failing = { ...aggregated, requests: aggregated.requests * 2, failures: aggregated.requests };
    const slices = (summary: typeof aggregated) => Array.from({ length: 8 }, () => sliceOf(summary));
    const ratios = comparePairs(pairsOf(slices(aggregated), slices(failing)), { delta: DELTA });
    expect(ratios.filter(({ verdict }) => verdict === "worse").map(({ name }) => name)).toEqual([
      "successRate",
    ]);
  });

  it("count in stored runs too", () => {
    const calm = madeResult({ failuresPerSecond: 0 }).series;
    const failing = calm.map((second) => ({ ...second, failuresPerSecond: second.requestsPerSecond / 2 }));
    const ratios = comparePairs(pairedSlices(calm, failing), { delta: DELTA });
    const worse = ratios.filter(({ verdict }) => verdict === "worse").map(({ name }) => name);
    expect(worse).toEqual(["requestsPerSecond", "successRate"]);
  });
});

describe("two stored runs", () => {
  it("are never called different when the same server was measured twice, and are when TTFT doubled", () => {
    const baseline = madeResult({ seconds: 132 }).series;
    const again = madeResult({ seed: 7, seconds: 132 }).series;
    const slower = madeResult({ seed: 9, ttftMs: 240, seconds: 132 }).series;
    expect(overall(comparePairs(pairedSlices(baseline, again), { delta: DELTA }))).not.toBe("different");
    const ratios = comparePairs(pairedSlices(baseline, slower), { delta: DELTA });
    expect(ratios.find(({ name }) => name === "ttftP50")?.verdict).toBe("worse");
  });
});
