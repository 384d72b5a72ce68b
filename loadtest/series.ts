import { createHistogram, type Histogram, percentilesOf } from "./histogram.ts";
import { latenciesOf } from "./latencies.ts";
import type { RequestRecord } from "./record.ts";
import type { SeriesPoint } from "./result.ts";
import type { ClientReading } from "./watch.ts";

/** The run second by second, warm-up included. */
export interface Series {
  add(record: RequestRecord): void;
  countTokens(tokens: number): void;
  /** Closes the second that has passed. */
  close(now: SecondContext): SeriesPoint;
  readonly points: readonly SeriesPoint[];
}

export interface SecondContext {
  readonly second: number;
  /** Unix ms. */
  readonly at: number;
  readonly phase: SeriesPoint["phase"];
  readonly users: number;
  readonly inFlight: number;
  readonly tokenRatio: number;
  readonly client: ClientReading;
}

/** Locust's sliding window for percentiles, in seconds. */
const WINDOW = 10;

export function createSeries(): Series {
  const points: SeriesPoint[] = [];
  const total = createHistogram();
  const e2e = createSlidingWindow();
  const ttft = createSlidingWindow();
  let second = { requests: 0, failures: 0, tokens: 0 };
  let sums = { requests: 0, failures: 0, bytes: 0 };

  return {
    points,
    add(record) {
      const failed = record.failure === null ? 0 : 1;
      second = { ...second, requests: second.requests + 1, failures: second.failures + failed };
      sums = {
        requests: sums.requests + 1,
        failures: sums.failures + failed,
        bytes: sums.bytes + record.bytes,
      };
      if (failed === 1) return;
      const latencies = latenciesOf(record);
      if (latencies.e2e !== undefined) {
        total.record(latencies.e2e);
        e2e.record(latencies.e2e);
      }
      if (latencies.ttft !== undefined) ttft.record(latencies.ttft);
    },
    countTokens(tokens) {
      second.tokens += tokens;
    },
    close({ second: at, client, tokenRatio, ...context }) {
      const seconds = Math.max(0.001, client.seconds);
      const point: SeriesPoint = {
        ...context,
        second: at,
        requestsPerSecond: second.requests / seconds,
        failuresPerSecond: second.failures / seconds,
        tokensPerSecond: (second.tokens * tokenRatio) / seconds,
        e2e: e2e.percentiles(),
        ttft: ttft.percentiles(),
        clientLagMs: client.lagP99Ms,
        clientUtilisation: client.utilisation,
        clientCpuPercent: client.cpuPercent,
        total: {
          requests: sums.requests,
          failures: sums.failures,
          p50: total.percentile(50),
          mean: total.mean,
          min: total.min,
          max: total.max,
          meanBytes: sums.requests === 0 ? 0 : sums.bytes / sums.requests,
        },
      };
      second = { requests: 0, failures: 0, tokens: 0 };
      points.push(point);
      return point;
    },
  };
}

/** A histogram a second, two digits each: together small enough to be added up every second. */
function createSlidingWindow() {
  const ring: readonly Histogram[] = Array.from({ length: WINDOW }, () => createHistogram(2));
  const merged = createHistogram(2);
  let current = 0;
  return {
    record: (ms: number) => ring[current]?.record(ms),
    /** Of the window, which then moves on by a second; null when it is empty. */
    percentiles(): SeriesPoint["e2e"] {
      merged.reset();
      for (const histogram of ring) merged.add(histogram);
      current = (current + 1) % WINDOW;
      ring[current]?.reset();
      return merged.count === 0 ? null : { ...percentilesOf(merged.percentile), max: merged.max };
    },
  };
}
