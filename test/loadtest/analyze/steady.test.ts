import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { describe, expect, it } from "vitest";
import { isOverSaturated, type Load } from "../../../loadtest/analyze/steady.ts";

/** Poisson arrivals at one server that answers 20 a second on average, exponentially: seconds of what is seen. */
function queue(arrivalsPerSecond: number, seconds: number, seed: number): readonly Load[] {
  const random = xoroshiro128plus(seed);
  const exponential = (mean: number) => -mean * Math.log(1 - uniformFloat64(random));
  const requests: { readonly at: number; readonly end: number }[] = [];
  let freeAt = 0;
  for (let at = exponential(1 / arrivalsPerSecond); at < seconds; at += exponential(1 / arrivalsPerSecond)) {
    freeAt = Math.max(at, freeAt) + exponential(1 / 20);
    requests.push({ at, end: freeAt });
  }
  return Array.from({ length: seconds }, (_, second) => {
    const due = requests.filter(({ at }) => at >= second && at < second + 1);
    const inFlight = requests.filter(({ at, end }) => at <= second + 1 && end > second + 1).length;
    const waits = due.map(({ at, end }) => (end - at) * 1000);
    const ttftMs = waits.length === 0 ? undefined : waits.reduce((sum, wait) => sum + wait, 0) / waits.length;
    return { inFlight, ttftMs };
  });
}

function shareSaturated(arrivalsPerSecond: number, seconds = 60): number {
  const runs = 100;
  const seeds = Array.from({ length: runs }, (_, seed) => seed + 1);
  return seeds.filter((seed) => isOverSaturated(queue(arrivalsPerSecond, seconds, seed))).length / runs;
}

describe("isOverSaturated", () => {
  it("sees nearly every queue that gets 30 % more than it can serve", () => {
    expect(shareSaturated(26)).toBeGreaterThan(0.95);
  });

  it("calls few steady queues over-saturated, also busy ones", () => {
    expect(shareSaturated(10)).toBeLessThan(0.05);
    expect(shareSaturated(14)).toBeLessThan(0.1);
  });

  it("says nothing about a few seconds, nor about seconds without a request", () => {
    const rising = Array.from({ length: 7 }, (_, at) => ({ inFlight: at * 10, ttftMs: at * 100 }));
    expect(isOverSaturated(rising)).toBe(false);
    const idle = Array.from({ length: 60 }, () => ({ inFlight: 0, ttftMs: undefined }));
    expect(isOverSaturated(idle)).toBe(false);
  });
});
