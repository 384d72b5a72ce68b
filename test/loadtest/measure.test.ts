import { expect, test } from "vitest";
import { requestLimits } from "../../loadtest/analyze/slo.ts";
import { monotonicMs } from "../../loadtest/clock.ts";
import { arrivalsDrive, type Drive, usersDrive } from "../../loadtest/driver.ts";
import { type Job, type MeasureHooks, measure } from "../../loadtest/measure.ts";
import { type MockOptions, startMock } from "../../loadtest/mock.ts";
import type { RequestRecord } from "../../loadtest/record.ts";
import { exitCodeOf } from "../../loadtest/session.ts";
import { chatCall, getCall } from "../../loadtest/workload.ts";

const CALL = chatCall(
  { name: "chat", messages: [{ role: "user", content: "Hello" }], maxTokens: 100, isStream: true },
  { model: "mock", nonce: null, maxTokens: null, hasContinuousUsage: true },
);

function jobOf(origin: string, drive: Drive, rest: Partial<Job> = {}): Job {
  const defaults = { pathPrefix: "", headers: {}, warmupMs: 0, timeoutMs: 5000, slos: [], calibration: null };
  return { ...defaults, origin, drive, ...rest };
}

async function run(
  mockOptions: MockOptions,
  drive: Drive,
  rest: Partial<Job> = {},
  hooks: MeasureHooks = {},
) {
  const mock = await startMock(mockOptions);
  const records: RequestRecord[] = [];
  try {
    const measured = await measure(jobOf(mock.url, drive, rest), {
      ...hooks,
      onRecord: (record) => records.push(record),
    });
    return { measured, records, truth: mock.truth() };
  } finally {
    await mock.close();
  }
}

function users(count: number, durationMs: number, thinkMs = 0): Drive {
  return usersDrive({
    users: count,
    spawnPerSecond: count * 20,
    durationMs,
    requests: null,
    thinkMs,
    call: () => CALL,
    thinkAfterMs: () => thinkMs,
  });
}

function everyMs(gapMs: number, count: number, maxInFlight: number | null = null): Drive {
  return arrivalsDrive({
    arrivals: Array.from({ length: count }, (_, n) => n * gapMs),
    durationMs: null,
    requests: null,
    maxInFlight,
    send: (_, due, fire) => fire(CALL, due, null),
  });
}

test("a server that stands still shows in every request that was due meanwhile: no coordinated omission", async () => {
  const stall = { atMs: 200, forMs: 1000 };
  const { measured, records } = await run({ tokens: 2, stall }, everyMs(10, 150));
  // The stall counts from the first request's arrival, which lies between its sending and its first token.
  const first = records.find(({ n }) => n === 0);
  const stallStart = (first?.firstToken ?? Number.NaN) + stall.atMs;
  const stallEnd = (first?.sent ?? Number.NaN) + stall.atMs + stall.forMs;
  const due = records.filter(({ intended }) => intended > stallStart && intended < stallEnd);
  expect(due.length).toBeGreaterThan(0);
  for (const { intended, firstToken } of due)
    expect((firstToken ?? 0) - intended).toBeGreaterThanOrEqual(stallEnd - intended - 1);
  expect(measured.aggregated.metrics.ttft?.p99).toBeGreaterThan(400);
  expect(measured.aggregated.requests).toBe(150);
});

test("the client's gaps are the mock's own, up to the delay that its stamps show", async () => {
  const { measured, records, truth } = await run({ ttftMs: 20, itlMs: 5, tokens: 10 }, everyMs(15, 40));
  const ours = records.reduce(
    (sum, { firstToken, lastToken }) => sum + ((lastToken ?? 0) - (firstToken ?? 0)),
    0,
  );
  const theirs = (truth.icl?.mean ?? 0) * (truth.icl?.count ?? 0);
  expect(records.every(({ failure }) => failure === null)).toBe(true);
  expect(truth.requests).toBe(records.length);
  // All of them are measured, so this is the longest delay of any.
  const delay = measured.aggregated.metrics.oneWay?.max ?? 0;
  expect(Math.abs(ours - theirs)).toBeLessThanOrEqual(records.length * (delay + 1));
  for (const { intended, firstToken } of records)
    expect((firstToken ?? 0) - intended).toBeGreaterThanOrEqual(20);
});

test("latencies are of requests due in the window; the window opens when every user has had an answer", async () => {
  const { measured, records } = await run({ ttftMs: 30, tokens: 1 }, users(5, 1000));
  const { startMs, endMs } = measured.window ?? { startMs: 0, endMs: 0 };
  const first = new Map<number | null, RequestRecord>();
  for (const record of [...records].sort((a, b) => a.n - b.n))
    if (!first.has(record.user)) first.set(record.user, record);
  expect(first.size).toBe(5);
  for (const { end } of first.values()) expect(end).toBeLessThanOrEqual(startMs + 1);
  const measuredOnes = records.filter(({ phase }) => phase === "measured");
  expect(measuredOnes.length).toBe(measured.aggregated.requests);
  for (const { intended } of measuredOnes) {
    expect(intended).toBeGreaterThanOrEqual(startMs - 0.001);
    expect(intended).toBeLessThan(endMs);
  }
  expect(endMs).toBeLessThanOrEqual(1000.001);
});

test("a run too short for a window covers everything, and says so", async () => {
  const drive = usersDrive({
    users: 3,
    spawnPerSecond: 100,
    durationMs: null,
    requests: 3,
    thinkMs: 0,
    call: () => CALL,
    thinkAfterMs: () => 0,
  });
  const { measured } = await run({ tokens: 1 }, drive, { warmupMs: 60_000 });
  expect(measured.window).toBeNull();
  expect(measured.aggregated.requests).toBe(3);
  expect(measured.verdict.reasons.join()).toMatch(/steady window/);
});

test("waiting for a place under --max-in-flight counts in TTFT", async () => {
  const { measured, records } = await run({ ttftMs: 50, tokens: 1 }, everyMs(1, 4, 1));
  const longest = Math.max(...records.map(({ intended, firstToken }) => (firstToken ?? 0) - intended));
  expect(longest).toBeGreaterThanOrEqual(4 * 50 - 3);
  expect(measured.aggregated.metrics.queue?.max).toBeGreaterThanOrEqual(3 * 50 - 3);
});

test("failures are counted by kind and message, apart from latencies and goodput", async () => {
  const slo = {
    text: "success=95%",
    figure: { kind: "success" },
    limit: 95,
    unit: "%",
    isAtLeast: true,
  } as const;
  const faulty = { tokens: 2, fault: "http_429", errorRate: 0.25 } as const;
  const { measured } = await run(faulty, everyMs(2, 40), { slos: [slo] });
  const { aggregated, failures, goodput } = measured;
  expect(aggregated).toMatchObject({ requests: 40, failures: 10, failuresByKind: { http_429: 10 } });
  expect(failures).toEqual([
    { method: "POST", name: "chat", kind: "http_429", error: "HTTP 429: a scripted 429", occurrences: 10 },
  ]);
  expect(aggregated.metrics.ttft?.count).toBe(30);
  expect(goodput.share).toBe(0.75);
  expect(measured.slo).toEqual([expect.objectContaining({ actual: 75, isHeld: false })]);
  expect(exitCodeOf({ ...measured, verdict: { ...measured.verdict, isValid: true } })).toBe(1);
  expect(exitCodeOf({ ...measured, verdict: { ...measured.verdict, isValid: false } })).toBe(3);
});

test("throughput is what ended in the window, not what was asked for in it", async () => {
  const drive = arrivalsDrive({
    arrivals: Array.from({ length: 25 }, (_, n) => n * 20),
    durationMs: 500,
    requests: null,
    maxInFlight: 1,
    send: (_, due, fire) => fire(CALL, due, null),
  });
  const { measured, records } = await run({ ttftMs: 40, tokens: 1 }, drive);
  const { startMs, endMs } = measured.window ?? { startMs: 0, endMs: 0 };
  const ended = records.filter(({ end }) => end >= startMs && end < endMs).length;
  const perSecond = (count: number) => (1000 * count) / (endMs - startMs);
  expect(measured.aggregated).toMatchObject({ requests: 25, failures: 0 });
  expect(ended).toBeLessThanOrEqual(13);
  expect(measured.aggregated.requestsPerSecond).toBeCloseTo(perSecond(ended));
  expect(measured.goodput.requestsPerSecond).toBeCloseTo(perSecond(ended));
  expect(measured.achieved.requestsPerSecond).toBeCloseTo(perSecond(25));
});

test("two endpoints of one name share no tokens", async () => {
  const calls = [getCall("/health", "chat"), CALL];
  const drive = arrivalsDrive({
    arrivals: Array.from({ length: 20 }, (_, n) => n * 2),
    durationMs: null,
    requests: null,
    maxInFlight: null,
    send: (n, due, fire) => fire(calls[n % 2] ?? CALL, due, null),
  });
  const { measured } = await run({ tokens: 4 }, drive);
  const speeds = new Map(
    measured.endpoints.map(({ method, tokensPerSecond }) => [method, tokensPerSecond.completion]),
  );
  expect(speeds.get("GET")).toBe(0);
  expect(measured.aggregated.tokensPerSecond.completion).toBe(speeds.get("POST"));
});

test("the window of a sweep's step counts from the same moment as its records", async () => {
  const zeroAt = monotonicMs() - 60_000;
  const { measured, records } = await run({ tokens: 1 }, everyMs(5, 20), { step: { index: 3, zeroAt } });
  const { startMs, endMs } = measured.window ?? { startMs: 0, endMs: 0 };
  expect(records.length).toBe(20);
  for (const { phase, intended } of records) {
    expect(phase).toBe("measured");
    expect(intended).toBeGreaterThanOrEqual(startMs - 0.001);
    expect(intended).toBeLessThan(endMs);
  }
  expect(Number(measured.monotonicStartNs) / 1e6).toBeCloseTo(zeroAt, 2);
});

test("goodput is of the requests that keep every limit", async () => {
  const slo = {
    text: "ttft_p95=1us",
    figure: { kind: "latency", metric: "ttft", statistic: "p95" },
    limit: 0.001,
    unit: "ms",
    isAtLeast: false,
  } as const;
  expect(requestLimits([slo])).toEqual({ ttft: 0.001 });
  const { measured } = await run({ tokens: 1 }, everyMs(2, 10), { slos: [slo] });
  expect(measured.goodput).toMatchObject({ requestsPerSecond: 0, share: 0 });
});

test("an interrupt ends the run at once, and its own aborted requests are nobody's failures", async () => {
  const stop = new AbortController();
  const mock = await startMock({ ttftMs: 20, tokens: 1000, itlMs: 20 });
  const measured = await measure(jobOf(mock.url, everyMs(50, 10_000)), {
    signal: stop.signal,
    onSecond: () => stop.abort(),
  });
  await mock.close();
  expect(measured.wasInterrupted).toBe(true);
  expect(measured.aggregated.failures).toBe(0);
  expect(measured.series.at(-1)?.total.failures).toBe(0);
  expect(exitCodeOf(measured)).toBe(130);
});

test("a second has users, rates, tokens and the client's own lag", async () => {
  const { measured } = await run({ ttftMs: 5, itlMs: 5, tokens: 4 }, users(4, 1200));
  const busiest = measured.series.find(({ e2e }) => e2e !== null);
  expect(busiest?.users).toBe(4);
  expect(busiest?.requestsPerSecond).toBeGreaterThan(0);
  expect(busiest?.tokensPerSecond).toBeGreaterThan(0);
  expect(busiest?.e2e?.p95).toBeGreaterThanOrEqual(20);
  expect(busiest?.clientUtilisation).toBeGreaterThan(0);
});
