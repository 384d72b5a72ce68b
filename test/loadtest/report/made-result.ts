import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { createHistogram } from "../../../loadtest/histogram.ts";
import {
  type Distribution,
  type Result,
  resultSchema,
  type SeriesPoint,
  type Summary,
  type SweepPoint,
} from "../../../loadtest/result.ts";

/** What to make a run of; times in ms. */
export interface Made {
  readonly seed?: number;
  readonly seconds?: number;
  readonly ttftMs?: number;
  readonly failuresPerSecond?: number;
  readonly isValid?: boolean;
  readonly sweep?: readonly SweepPoint[];
}

const STARTED = Date.UTC(2026, 10, 25, 14, 0, 0);
const WARMUP = 10;

/** A run that never was, whole and by the schema: 50 users, a warm-up of 10 s, 25 requests a second. */
export function madeResult(made: Made = {}): Result {
  const { seed = 1, seconds = 90, ttftMs = 120, failuresPerSecond = 0.2, isValid = true, sweep } = made;
  const gauss = gaussian(seed);
  const series = Array.from({ length: seconds }, (_, at) =>
    moment(at + 1, seconds, { ttftMs, failuresPerSecond, gauss }),
  );
  const metrics = {
    ttft: distributionOf(draws(2000, () => ttftMs * Math.exp(0.35 * gauss()))),
    ttfo: distributionOf(draws(2000, () => ttftMs * Math.exp(0.35 * gauss()))),
    tpot: distributionOf(draws(2000, () => 20 * Math.exp(0.05 * gauss()))),
    icl: distributionOf(draws(4000, () => 20 * Math.exp(0.2 * gauss()))),
    itl: distributionOf(draws(4000, () => 20 * Math.exp(0.2 * gauss()))),
    e2e: distributionOf(draws(2000, () => ttftMs + 1100 * Math.exp(0.3 * gauss()))),
    service: distributionOf(draws(2000, () => ttftMs + 1098 * Math.exp(0.3 * gauss()))),
    queue: distributionOf(draws(2000, () => 0.4 * Math.exp(0.4 * gauss()))),
    ttfb: distributionOf(draws(2000, () => 4 * Math.exp(0.4 * gauss()))),
  };
  const failures = Math.round(failuresPerSecond * (seconds - WARMUP));
  const chat: Summary = {
    method: "POST",
    name: "/v1/chat/completions",
    requests: 2000 + failures,
    failures,
    failuresByKind: failures === 0 ? {} : { http_5xx: failures },
    requestsPerSecond: (2000 + failures) / (seconds - WARMUP),
    failuresPerSecond,
    bytes: 4_000_000,
    meanBytes: 2000,
    metrics,
    correctedE2e: distributionOf(draws(2200, () => ttftMs + 1200 * Math.exp(0.3 * gauss()))),
    tokens: { prompt: 60_000, completion: 110_000, cached: 8000, reasoning: 0 },
    tokenSource: "usage",
    tokensPerSecond: { prompt: 750, completion: 1375 },
    e2eTokensPerSecond: 45,
    outputTokens: distributionOf(draws(2000, () => 55 * Math.exp(0.2 * gauss()))),
    finishReasons: { length: 1800, stop: 200 },
  };
  const health: Summary = {
    ...chat,
    method: "GET",
    name: "/health",
    requests: 600,
    failures: 0,
    failuresByKind: {},
    requestsPerSecond: 600 / (seconds - WARMUP),
    failuresPerSecond: 0,
    metrics: { e2e: distributionOf(draws(600, () => 3 * Math.exp(0.4 * gauss()))) },
    correctedE2e: null,
    tokens: { prompt: 0, completion: 0, cached: 0, reasoning: 0 },
    tokenSource: null,
    e2eTokensPerSecond: null,
    outputTokens: null,
    finishReasons: {},
  };
  const slow = "event loop 31 ms late at p99: run the client on a machine of its own";
  return resultSchema.parse({
    schemaVersion: 1,
    tool: { name: "sluice loadtest", version: "0.1.0" },
    command: sweep === undefined ? "run" : "sweep",
    startedAt: new Date(STARTED).toISOString(),
    finishedAt: new Date(STARTED + seconds * 1000).toISOString(),
    monotonicStartNs: "1000",
    seed,
    nonce: "a1b2c3",
    platform: {
      system: "linux",
      machine: "x64",
      cpuModel: "Some CPU",
      cores: 2,
      cpuBudget: 2,
      memoryBytes: 8 * 2 ** 30,
      gpus: [],
      nodeVersion: "v24.21.0",
    },
    plan: {
      target: "http://127.0.0.1:8000",
      model: "sluice-demo",
      load:
        sweep === undefined
          ? { kind: "users", profile: "inference-user", stage: "medium", users: 50, spawnPerSecond: 5 }
          : { kind: "sweep", over: "concurrency", loads: sweep.map(({ load }) => load) },
      durationSeconds: seconds,
      requests: null,
      warmupSeconds: WARMUP,
    },
    server: { name: "sluice", pid: 4242 },
    window: { startMs: WARMUP * 1000, endMs: (seconds - 2) * 1000 },
    wasInterrupted: false,
    isSteady: true,
    achieved: { inFlight: 31.4, requestsPerSecond: 32.5 },
    verdict: {
      isValid,
      reasons: isValid ? [] : [slow],
      checks: [
        {
          name: "loop delay p99",
          value: isValid ? 1.2 : 31,
          unit: "ms",
          warn: 5,
          invalid: 20,
          level: isValid ? "ok" : "invalid",
          message: isValid ? "" : slow,
        },
        {
          name: "own CPU",
          value: 22,
          unit: "%",
          warn: 70,
          invalid: 95,
          level: "ok",
          message: "",
        },
      ],
    },
    calibration: {
      cpuModel: "Some CPU",
      nodeVersion: "v24.21.0",
      requestsPerSecond: 9000,
      chunksPerSecond: 60_000,
      streams: 1500,
      overheadMs: { p50: 0.4, p99: 1.1 },
      measuredAt: new Date(STARTED).toISOString(),
    },
    aggregated: { ...chat, method: "", name: "Aggregated", requests: chat.requests + health.requests },
    endpoints: [chat, health],
    failures:
      failures === 0
        ? []
        : [{ method: "POST", name: chat.name, kind: "http_5xx", error: "503, busy", occurrences: failures }],
    goodput: { limitsMs: { ttft: 500 }, requestsPerSecond: 24.1, share: 0.981 },
    slo: [
      {
        slo: "ttft_p95=500ms",
        isAtLeast: false,
        limit: 500,
        actual: metrics.ttft.p95,
        unit: "ms",
        isHeld: true,
      },
      { slo: "success=95%", isAtLeast: true, limit: 95, actual: 94.1, unit: "%", isHeld: false },
    ],
    series,
    sweep:
      sweep === undefined
        ? null
        : {
            points: [...sweep],
            highestHeld: Math.max(...sweep.filter(({ isHeld }) => isHeld).map(({ load }) => load)),
          },
    monitor: [
      {
        at: STARTED + 20_000,
        cpuPercent: 48,
        processCpuPercent: 61,
        rssBytes: 210 * 2 ** 20,
        memoryUsedBytes: 4 * 2 ** 30,
        memoryLimitBytes: 8 * 2 ** 30,
        memoryPercent: 50,
        diskPercent: null,
        receivedBytesPerSecond: null,
        sentBytesPerSecond: null,
        gpus: [],
      },
    ],
    exitCode: 1,
  } satisfies Result);
}

/** A step of a sweep whose latency grows with the load, and breaks at 20. */
export function madePoint(load: number): SweepPoint {
  const { aggregated, goodput } = madeResult({ seed: load, ttftMs: 60 + load ** 1.6 });
  const isHeld = load <= 20;
  const requestsPerSecond = (load * 12) / (1 + load / 18);
  return {
    load,
    achieved: load * 0.98,
    requestsPerSecond,
    tokensPerSecond: requestsPerSecond * 50,
    goodput,
    requests: 400,
    failures: 0,
    metrics: aggregated.metrics,
    slo: [],
    isSteady: true,
    isValid: true,
    isHeld,
  };
}

export function distributionOf(valuesMs: readonly number[]): Distribution {
  const histogram = createHistogram();
  for (const value of valuesMs) histogram.record(value);
  const distribution = histogram.distribution();
  if (distribution === undefined) throw new Error("no values");
  return distribution;
}

function moment(
  second: number,
  seconds: number,
  made: { readonly ttftMs: number; readonly failuresPerSecond: number; readonly gauss: () => number },
): SeriesPoint {
  const { ttftMs, failuresPerSecond, gauss } = made;
  const users = Math.min(50, second * 5);
  const phase = second <= WARMUP ? "warmup" : second > seconds - 2 ? "cooldown" : "measured";
  const p50 = (ttftMs + 1100) * Math.exp(0.03 * gauss());
  const spread = { p66: p50 * 1.1, p75: p50 * 1.2, p80: p50 * 1.25, p90: p50 * 1.45 };
  const tail = { p95: p50 * 1.65, p98: p50 * 1.85, p99: p50 * 2, p99_9: p50 * 2.2, p99_99: p50 * 2.3 };
  const shared = { p50, ...spread, ...tail, max: p50 * 2.35 };
  const ttft = ttftMs * Math.exp(0.03 * gauss());
  return {
    second,
    at: STARTED + second * 1000,
    phase,
    users,
    inFlight: users * 0.6 + gauss(),
    requestsPerSecond: (users * 0.62 * 1220) / (1100 + ttftMs) + gauss(),
    failuresPerSecond: second % 15 === 0 ? failuresPerSecond * 15 : 0,
    tokensPerSecond: users * 27 + 20 * gauss(),
    e2e: second < 3 ? null : shared,
    ttft: second < 3 ? null : { ...shared, p50: ttft, p95: ttft * 1.8 },
    clientLagMs: Math.abs(0.6 * gauss()) + 0.3,
    clientUtilisation: 0.2,
    clientCpuPercent: 22,
    total: {
      requests: second * 30,
      failures: Math.floor(second / 15) * 3,
      p50: 1234.6,
      mean: 1300.5,
      min: 2.25,
      max: 3100.1,
      meanBytes: 2000,
    },
  };
}

function draws(count: number, draw: () => number): readonly number[] {
  return Array.from({ length: count }, draw);
}

function gaussian(seed: number): () => number {
  const random = xoroshiro128plus(seed);
  return () =>
    Math.sqrt(-2 * Math.log(1 - uniformFloat64(random))) * Math.cos(2 * Math.PI * uniformFloat64(random));
}
