import { z } from "zod";
import { failureKindSchema, METRICS, tokenSourceSchema, tokensSchema } from "./record.ts";

/**
 * What a run leaves behind: `result.json` (`resultSchema`) and one line a request of `requests.jsonl` (record.ts).
 * Charts, tables, CSV and comparisons are made from these two alone, so an old run can be drawn again.
 */
export const RESULT_VERSION = 1;

/** `result.json` has them as `p50` … `p99_99`. */
export const PERCENTILES = [50, 66, 75, 80, 90, 95, 98, 99, 99.9, 99.99] as const;

const percentilesSchema = z.object({
  p50: z.number(),
  p66: z.number(),
  p75: z.number(),
  p80: z.number(),
  p90: z.number(),
  p95: z.number(),
  p98: z.number(),
  p99: z.number(),
  p99_9: z.number(),
  p99_99: z.number(),
});

export const distributionSchema = percentilesSchema.extend({
  /** Of values. A percentile with fewer than 10 beyond it is an approximation. */
  count: z.number(),
  /** Exact, like `max`. */
  min: z.number(),
  max: z.number(),
  mean: z.number(),
  sd: z.number(),
  /** hdr-histogram's compressed base64, in microseconds (output lengths: in tokens); three significant digits. */
  hdr: z.string(),
});
export type Distribution = z.infer<typeof distributionSchema>;

/** One endpoint, or all of them (`method: ""`, `name: "Aggregated"`), over the window. */
export const summarySchema = z.object({
  method: z.string(),
  name: z.string(),
  /** Attempted, with the failed ones. */
  requests: z.number(),
  failures: z.number(),
  failuresByKind: z.partialRecord(failureKindSchema, z.number()),
  /** By their end within the window, also of requests that were due before it: what was done, not what was asked. */
  requestsPerSecond: z.number(),
  failuresPerSecond: z.number(),
  /** Of answers' bodies. */
  bytes: z.number(),
  meanBytes: z.number(),
  /** Of successful requests, `queue` of all; a metric without a value is left out. */
  metrics: z.partialRecord(z.enum(METRICS), distributionSchema),
  /** Closed loop only: `e2e` with the requests put back that a slow answer kept from being sent. */
  correctedE2e: distributionSchema.nullable(),
  tokens: tokensSchema,
  /** Null where no request streamed tokens; the weakest source among the requests. */
  tokenSource: tokenSourceSchema.nullable(),
  /** By the stamp of arrival within the window, also of requests that began before it. */
  tokensPerSecond: z.object({ prompt: z.number(), completion: z.number() }),
  /** Mean over requests of tokens / e2e: often called tokens a second; decode speed is 1000 / tpot. */
  e2eTokensPerSecond: z.number().nullable(),
  outputTokens: distributionSchema.nullable(),
  finishReasons: z.record(z.string(), z.number()),
});
export type Summary = z.infer<typeof summarySchema>;

/** One failed way of one endpoint: a line of failures.csv. */
export const failureLineSchema = z.object({
  method: z.string(),
  name: z.string(),
  kind: failureKindSchema,
  error: z.string(),
  occurrences: z.number(),
});

/** One second of the run. Latencies in ms, null where nothing ended. */
export const seriesPointSchema = z.object({
  /** Seconds since the run's start at the end of this one. */
  second: z.number(),
  /** Unix ms at that moment. */
  at: z.number(),
  phase: z.enum(["warmup", "measured", "cooldown"]),
  users: z.number(),
  inFlight: z.number(),
  requestsPerSecond: z.number(),
  failuresPerSecond: z.number(),
  /** Tokens of completion that arrived (chunks where the source is `chunks`). */
  tokensPerSecond: z.number(),
  /** End-to-end, of successful requests that ended in the last 10 s (Locust's sliding window); `max` is its 100 %. */
  e2e: percentilesSchema.extend({ max: z.number() }).nullable(),
  /** The same of TTFT. */
  ttft: percentilesSchema.extend({ max: z.number() }).nullable(),
  /** Event-loop delay of this client in that second: p99 above its idle level; utilisation 0 to 1; CPU of one core. */
  clientLagMs: z.number(),
  clientUtilisation: z.number(),
  clientCpuPercent: z.number(),
  /** Since the start, warm-up included: Locust's Total columns. */
  total: z.object({
    requests: z.number(),
    failures: z.number(),
    p50: z.number(),
    mean: z.number(),
    min: z.number(),
    max: z.number(),
    meanBytes: z.number(),
  }),
});
export type SeriesPoint = z.infer<typeof seriesPointSchema>;

/** One line of the client's check of itself. */
export const checkSchema = z.object({
  name: z.string(),
  value: z.number(),
  unit: z.string(),
  warn: z.number().nullable(),
  invalid: z.number(),
  level: z.enum(["ok", "warn", "invalid"]),
  /** What it means and what to do; for a report. */
  message: z.string(),
});

export const verdictSchema = z.object({
  /** False: the client or the machine was the limit, and no figure here says anything about the server. */
  isValid: z.boolean(),
  /** Messages of the checks that are not ok, the invalidating first. */
  reasons: z.array(z.string()),
  checks: z.array(checkSchema),
});
export type Verdict = z.infer<typeof verdictSchema>;

/** What this client can do on this machine against a mock that costs nothing. */
export const calibrationSchema = z.object({
  cpuModel: z.string(),
  nodeVersion: z.string(),
  requestsPerSecond: z.number(),
  chunksPerSecond: z.number(),
  streams: z.number(),
  /** What the client (and the mock) add to a latency: stamp to arrival. */
  overheadMs: z.object({ p50: z.number(), p99: z.number() }),
  measuredAt: z.string(),
});
export type Calibration = z.infer<typeof calibrationSchema>;

/** `ttft_p95=500ms` and the like, checked. */
export const sloCheckSchema = z.object({
  /** As written, such as `ttft_p95=500ms`. */
  slo: z.string(),
  isAtLeast: z.boolean(),
  limit: z.number(),
  /** Null where the run has no such figure: not held. */
  actual: z.number().nullable(),
  unit: z.enum(["ms", "%", "/s", "/min"]),
  isHeld: z.boolean(),
});
export type SloCheck = z.infer<typeof sloCheckSchema>;

export const goodputSchema = z.object({
  /** The limits a request must meet, such as `ttft` 500; none of them: every success is good. */
  limitsMs: z.partialRecord(z.enum(METRICS), z.number()),
  /** By their end within the window. */
  requestsPerSecond: z.number(),
  /** Of attempted requests, 0 to 1. */
  share: z.number(),
});

/** One step of a sweep, without histograms. */
export const sweepPointSchema = z.object({
  /** Requests a second or concurrent streams, as the plan says. */
  load: z.number(),
  /** Open loop: what was really sent; closed: streams really in flight. */
  achieved: z.number(),
  requestsPerSecond: z.number(),
  tokensPerSecond: z.number(),
  goodput: goodputSchema,
  requests: z.number(),
  failures: z.number(),
  metrics: z.partialRecord(z.enum(METRICS), distributionSchema.omit({ hdr: true })),
  slo: z.array(sloCheckSchema),
  isSteady: z.boolean(),
  isValid: z.boolean(),
  /** All objectives held, steady and valid. */
  isHeld: z.boolean(),
});
export type SweepPoint = z.infer<typeof sweepPointSchema>;

/**
 * As runtime-node/monitor.ts takes them, every second; its process figures are the server's where --pid was given,
 * else this client's. Loose: a newer monitor may know more.
 */
export const monitorSampleSchema = z.looseObject({
  at: z.number(),
  cpuPercent: z.number(),
  processCpuPercent: z.number().nullable(),
  rssBytes: z.number().nullable(),
  memoryUsedBytes: z.number(),
  memoryLimitBytes: z.number(),
  memoryPercent: z.number(),
  diskPercent: z.number().nullable(),
  receivedBytesPerSecond: z.number().nullable(),
  sentBytesPerSecond: z.number().nullable(),
  gpus: z.array(z.looseObject({})),
});

const loadSchema = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("users"),
    profile: z.string(),
    stage: z.string().nullable(),
    users: z.number(),
    spawnPerSecond: z.number(),
  }),
  z.object({
    kind: z.literal("rate"),
    requestsPerSecond: z.number(),
    /** A ramp's end; null: constant. */
    rampTo: z.number().nullable(),
    /** `constant`, `poisson` or `gamma:SHAPE`. */
    arrivals: z.string(),
    maxInFlight: z.number().nullable(),
  }),
  z.object({ kind: z.literal("concurrency"), concurrency: z.number() }),
  z.object({
    kind: z.literal("sweep"),
    over: z.enum(["rate", "concurrency"]),
    loads: z.array(z.number()),
  }),
  z.object({ kind: z.literal("replay"), file: z.string(), speed: z.number() }),
]);

export const resultSchema = z.object({
  schemaVersion: z.literal(RESULT_VERSION),
  tool: z.object({ name: z.literal("sluice loadtest"), version: z.string() }),
  command: z.enum(["run", "rate", "sweep", "replay", "calibrate", "self-test"]),
  /** UTC, ISO 8601. */
  startedAt: z.string(),
  finishedAt: z.string(),
  /** `process.hrtime.bigint()` at the start, as a decimal text: 0 of every record and of the window. */
  monotonicStartNs: z.string(),
  seed: z.number(),
  /** First in every prompt, so that no earlier run's prefix is in a cache; null with shared prefixes. */
  nonce: z.string().nullable(),
  platform: z.object({
    system: z.string(),
    machine: z.string(),
    cpuModel: z.string(),
    cores: z.number(),
    cpuBudget: z.number(),
    memoryBytes: z.number(),
    gpus: z.array(z.string()),
    nodeVersion: z.string(),
  }),
  plan: z.object({
    /** Without user, password and query. */
    target: z.string(),
    model: z.string().nullable(),
    load: loadSchema,
    durationSeconds: z.number().nullable(),
    requests: z.number().nullable(),
    warmupSeconds: z.number(),
  }),
  /** `Server` header or the like of the target, where it tells. */
  server: z.object({ name: z.string().nullable(), pid: z.number().nullable() }),
  /** ms since the start: what summaries cover. Null when the run ended before it. */
  window: z.object({ startMs: z.number(), endMs: z.number() }).nullable(),
  wasInterrupted: z.boolean(),
  /** Open loop: requests in flight and TTFT did not grow through the window. */
  isSteady: z.boolean(),
  /** Mean of requests in flight in the window, and of arrivals: what was really driven. */
  achieved: z.object({ inFlight: z.number(), requestsPerSecond: z.number() }),
  verdict: verdictSchema,
  calibration: calibrationSchema.nullable(),
  /** All endpoints together. Of a sweep: of its last point that held, or its first. */
  aggregated: summarySchema,
  endpoints: z.array(summarySchema),
  failures: z.array(failureLineSchema),
  goodput: goodputSchema,
  slo: z.array(sloCheckSchema),
  series: z.array(seriesPointSchema),
  sweep: z.object({ points: z.array(sweepPointSchema), highestHeld: z.number().nullable() }).nullable(),
  monitor: z.array(monitorSampleSchema),
  exitCode: z.number(),
});
export type Result = z.infer<typeof resultSchema>;
