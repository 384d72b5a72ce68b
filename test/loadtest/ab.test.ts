import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runPairs, type Side } from "../../loadtest/ab.ts";
import { overall } from "../../loadtest/analyze/pairs.ts";
import type { Slice } from "../../loadtest/analyze/slices.ts";
import { createContender } from "../../loadtest/contender.ts";
import { type Mock, startMock } from "../../loadtest/mock.ts";
import { readProfile } from "../../loadtest/profile.ts";
import { readTarget } from "../../loadtest/target.ts";

const plan = { delta: 0.05, seed: 1, signal: new AbortController().signal };

describe("runPairs", () => {
  it("drives each pair's halves next to each other, and either first equally often", async () => {
    const order: Side[] = [];
    await runPairs({ ...plan, pairs: 8, measure: recording((side) => order.push(side)) });
    const firsts = order.filter((_, at) => at % 2 === 0);
    expect(order).toHaveLength(16);
    expect(order.every((side, at) => at % 2 === 0 || side !== order[at - 1])).toBe(true);
    expect(firsts.filter((side) => side === "a")).toHaveLength(4);
  });

  it("asks both of a pair the same: the same number of the pair", async () => {
    const asked: Record<Side, number[]> = { a: [], b: [] };
    await runPairs({
      ...plan,
      pairs: 6,
      measure: recording((side, pair) => asked[side].push(pair)),
    });
    expect(asked.a).toEqual([0, 1, 2, 3, 4, 5]);
    expect(asked.b).toEqual(asked.a);
  });

  it("adds pairs where the first 8 are too noisy for delta, and none where they aren't", async () => {
    const calm = await runPairs({ ...plan, pairs: "auto", measure: async () => sliceWith(50) });
    expect(calm.a).toHaveLength(8);
    expect(overall(calm.ratios)).toBe("equal");
    const measure = async (side: Side, pair: number) =>
      sliceWith(side === "a" ? 50 : 50 + 6 * Math.sin(pair * 2));
    const noisy = await runPairs({ ...plan, pairs: "auto", measure });
    expect(noisy.a.length).toBeGreaterThan(8);
    expect(noisy.a.length).toBeLessThanOrEqual(30);
  });

  it("drives a pair again when a half can't be used, and gives up when most can't", async () => {
    const measure = async (side: Side, pair: number) =>
      pair === 2 && side === "b" ? undefined : sliceWith(50);
    const mended = await runPairs({ ...plan, pairs: 8, measure });
    expect(mended).toMatchObject({ dropped: 1 });
    expect(mended.a).toHaveLength(8);
    const hopeless = await runPairs({ ...plan, pairs: 8, measure: async () => undefined });
    expect(hopeless).toMatchObject({ dropped: 12, ratios: [] });
  });

  it("stops when it is told to, and keeps the whole pairs", async () => {
    const stop = new AbortController();
    const outcome = await runPairs({
      ...plan,
      pairs: 8,
      signal: stop.signal,
      measure: async (_, pair) => {
        if (pair === 3) stop.abort();
        return sliceWith(50);
      },
    });
    expect(outcome.a).toHaveLength(3);
  });
});

describe("createContender", () => {
  let mock: Mock;
  beforeAll(async () => {
    mock = await startMock({ ttftMs: 20, itlMs: 5, tokens: 8 });
  });
  afterAll(() => mock.close());

  async function contender(url: string, sliceMs = 800) {
    return createContender({
      target: readTarget(url, {}),
      model: null,
      profile: await readProfile("chat"),
      concurrency: 2,
      sliceMs,
      seed: 1,
      timeoutMs: 5000,
      calibration: null,
      signal: plan.signal,
    });
  }

  it("measures a slice of a server whose model it finds itself", async () => {
    const one = await contender(mock.url);
    const slice = await one.measure(0);
    expect(one.model).toBe("mock");
    expect(one.tally.requests).toBeGreaterThan(5);
    expect(one.tally.failures).toBe(0);
    // On a machine too busy to measure on the slice is refused, with the reason kept.
    if (slice === undefined) expect(one.objections.size).toBeGreaterThan(0);
    else expect(slice.ttftP50).toBeGreaterThanOrEqual(20);
  });

  it("says that a slice is too short when no answer fits in", async () => {
    const slow = await startMock({ ttftMs: 600, tokens: 1 });
    try {
      await expect((await contender(slow.url, 100)).measure(0)).rejects.toThrow(/too short.*--slice/);
    } finally {
      await slow.close();
    }
  });

  it("gives up on a server that only fails, and on one that isn't there", async () => {
    const broken = await startMock({ fault: "http_500", errorRate: 1 });
    try {
      const one = await contender(broken.url);
      await expect(one.measure(0)).rejects.toThrow("answered nothing");
    } finally {
      await broken.close();
    }
    await expect(contender("http://127.0.0.1:1")).rejects.toThrow("is the server up?");
  });
});

/** Always the same slice, and who was asked kept. */
function recording(keep: (side: Side, pair: number) => void) {
  return async (side: Side, pair: number): Promise<Slice> => {
    keep(side, pair);
    return sliceWith(50);
  };
}

function sliceWith(e2eP50: number): Slice {
  const rates = { requestsPerSecond: 400 / e2eP50, tokensPerSecond: 4000 / e2eP50 };
  return { ...rates, ttftP50: 20, ttftP95: 30, tpotP50: 5, e2eP50, e2eP95: 60, successRate: 100 };
}
