import { expect, test } from "vitest";
import { createHistogram, decodeHistogram } from "../../loadtest/histogram.ts";
import { type Calibration, verdictSchema } from "../../loadtest/result.ts";
import { createTally } from "../../loadtest/tally.ts";
import { ceilingWarning, judge } from "../../loadtest/verdict.ts";

const IDLE = {
  seconds: 10,
  lagP99Ms: 0.5,
  utilisation: 0.1,
  cpuPercent: 12,
  gcPercent: 0.3,
  cpuWaitPercent: 0.4,
  stealPercent: 0,
};
const SUMMARY = createTally("", "Aggregated").summary({
  seconds: 10,
  thinkMs: null,
  completionTokensPerSecond: 0,
});
const CALIBRATION: Calibration = {
  cpuModel: "x",
  nodeVersion: "v24",
  requestsPerSecond: 5000,
  chunksPerSecond: 40_000,
  streams: 2000,
  overheadMs: { p50: 0.4, p99: 1 },
  measuredAt: "",
};
const verdictOf = (change: Partial<typeof IDLE>, rest: Partial<Parameters<typeof judge>[0]> = {}) =>
  judge({
    client: { ...IDLE, ...change },
    aggregated: SUMMARY,
    slipP99Ms: null,
    calibration: null,
    hasWindow: true,
    ...rest,
  });

test("an idle client is valid, without reasons", () => {
  expect(verdictOf({})).toMatchObject({ isValid: true, reasons: [] });
});

test.each([
  [{ lagP99Ms: 21 }, "event-loop delay"],
  [{ utilisation: 0.9 }, "utilisation"],
  [{ gcPercent: 6 }, "garbage"],
  [{ cpuWaitPercent: 20 }, "waiting for a CPU"],
  [{ stealPercent: 11 }, "steal"],
])("a client that was the limit is invalid, with the reason: %j", (change, reason) => {
  const { isValid, reasons } = verdictOf(change);
  expect(isValid).toBe(false);
  expect(reasons[0]).toMatch(new RegExp(`^invalid: .*${reason}`));
});

test("half way there is a warning, and the worst reason comes first", () => {
  expect(verdictOf({ lagP99Ms: 6 })).toMatchObject({
    isValid: true,
    reasons: [expect.stringMatching(/^warn/)],
  });
  const { reasons } = verdictOf({ lagP99Ms: 6, utilisation: 0.9 });
  expect(reasons.map((reason) => reason.split(":")[0])).toEqual(["invalid", "warn"]);
});

test("requests that the client itself sent late make an open loop invalid", () => {
  expect(verdictOf({}, { slipP99Ms: 25 }).isValid).toBe(false);
  expect(verdictOf({}, { slipP99Ms: 2 }).isValid).toBe(true);
});

test("a system that refused files or ports makes the run invalid", () => {
  const aggregated = { ...SUMMARY, failuresByKind: { client_limit: 1 } };
  expect(verdictOf({}, { aggregated }).isValid).toBe(false);
});

test("a TTFT near the client's own share in it is at the resolution limit", () => {
  const of = (ms: number) => {
    const ttft = createHistogram();
    ttft.record(ms);
    const distribution = ttft.distribution();
    const metrics = distribution === undefined ? {} : { ttft: distribution };
    return verdictOf({}, { aggregated: { ...SUMMARY, metrics }, calibration: CALIBRATION });
  };
  expect(of(10)).toMatchObject({ isValid: true, reasons: [] });
  expect(of(1.5).reasons[0]).toMatch(/^warn.*resolution/);
  expect(of(0.5).isValid).toBe(false);
});

test("a plan above 70 % of the ceiling is warned of, where the ceiling is known", () => {
  const rate = { kind: "rate", rampTo: null, arrivals: "poisson", maxInFlight: null } as const;
  expect(ceilingWarning({ ...rate, requestsPerSecond: 3000 }, CALIBRATION)).toBeUndefined();
  expect(ceilingWarning({ ...rate, requestsPerSecond: 4000 }, CALIBRATION)).toMatch(/4000/);
  expect(ceilingWarning({ ...rate, requestsPerSecond: 3000, rampTo: 4000 }, CALIBRATION)).toMatch(/4000/);
  expect(ceilingWarning({ ...rate, requestsPerSecond: 4000 }, null)).toBeUndefined();
});

test("no percentile is above the maximum, nor below the minimum, and a stored histogram is the same", () => {
  const histogram = createHistogram();
  for (const value of [1.0004, 7.7777, 1234.5678]) histogram.record(value);
  const stored = histogram.distribution();
  expect(stored).toMatchObject({ count: 3, min: 1.0004, max: 1234.5678 });
  expect(stored?.p99_99).toBeLessThanOrEqual(1234.5678);
  if (stored === undefined) throw new Error("it has values");
  const again = decodeHistogram(stored).distribution();
  expect(again).toMatchObject({ p50: stored.p50, p99: stored.p99, max: stored.max, count: 3 });
  expect(again?.mean).toBeCloseTo(stored.mean, 6);
});

test("a calibration without an overhead leaves a result that can be read again", () => {
  const tally = createTally("", "Aggregated");
  const summary = tally.summary({ seconds: 10, thinkMs: null, completionTokensPerSecond: 0 });
  const ttft = createHistogram();
  ttft.record(50);
  const distribution = ttft.distribution();
  if (distribution === undefined) return expect.unreachable();
  const verdict = verdictOf(
    {},
    {
      aggregated: { ...summary, metrics: { ttft: distribution } },
      calibration: { ...CALIBRATION, overheadMs: { p50: 0, p99: 0 } },
    },
  );
  expect(verdict.isValid).toBe(true);
  expect(verdictSchema.parse(JSON.parse(JSON.stringify(verdict)))).toEqual(verdict);
});
