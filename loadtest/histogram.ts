import {
  build,
  decodeFromCompressedBase64,
  encodeIntoCompressedBase64,
  type Histogram as Hdr,
} from "hdr-histogram-js";
import type { Distribution } from "./result.ts";

/** Values in ms (or any other unit with three digits after the point), exact at both ends, bounded in memory. */
export interface Histogram {
  readonly count: number;
  record(value: number, times?: number): void;
  add(other: Histogram): void;
  /** At 0 to 100; 0 when empty. Never above the exact maximum. */
  percentile(percent: number): number;
  reset(): void;
  /** Undefined when empty. */
  distribution(): Distribution | undefined;
  /** What the library holds, in thousandths. */
  readonly hdr: Hdr;
  readonly min: number;
  readonly max: number;
  readonly mean: number;
}

const SCALE = 1000;
/** An hour in microseconds: more is clamped, with the exact maximum kept beside it. */
const HIGHEST = 3_600_000_000;

/** With 2 digits it is ten times smaller: for sliding windows. */
export function createHistogram(digits: 2 | 3 = 3): Histogram {
  return wrap(
    build({
      bitBucketSize: 32,
      autoResize: false,
      highestTrackableValue: HIGHEST,
      numberOfSignificantValueDigits: digits,
    }),
  );
}

/** The histogram of a stored distribution, for merging and comparing. */
export function decodeHistogram(distribution: Distribution): Histogram {
  const { hdr, min, max, mean, count } = distribution;
  return wrap(decodeFromCompressedBase64(hdr, 32), { min, max, sum: mean * count });
}

/** `values` with what a stall kept from being sent put back: one expected every `intervalMs`. */
export function correctForOmission(histogram: Histogram, intervalMs: number): Histogram {
  const { min, max, mean, count } = histogram;
  const hdr = histogram.hdr.copyCorrectedForCoordinatedOmission(Math.max(1, Math.round(intervalMs * SCALE)));
  // What is put back has no exact sum; the library's mean stands in for it.
  return wrap(
    hdr,
    count === hdr.totalCount
      ? { min, max, sum: mean * count }
      : { min, max, sum: (hdr.mean / SCALE) * hdr.totalCount },
  );
}

function wrap(hdr: Hdr, exact = { min: Number.POSITIVE_INFINITY, max: 0, sum: 0 }): Histogram {
  let { min, max, sum } = exact;
  const percentile = (percent: number) =>
    hdr.totalCount === 0 ? 0 : Math.min(max, Math.max(min, hdr.getValueAtPercentile(percent) / SCALE));
  return {
    hdr,
    get count() {
      return hdr.totalCount;
    },
    get min() {
      return hdr.totalCount === 0 ? 0 : min;
    },
    get max() {
      return max;
    },
    get mean() {
      return hdr.totalCount === 0 ? 0 : sum / hdr.totalCount;
    },
    record(value, times = 1) {
      const least = Math.max(0, value);
      min = Math.min(min, least);
      max = Math.max(max, least);
      sum += least * times;
      hdr.recordValueWithCount(Math.min(HIGHEST, Math.round(least * SCALE)), times);
    },
    add(other) {
      if (other.count === 0) return;
      min = Math.min(min, other.min);
      max = Math.max(max, other.max);
      sum += other.mean * other.count;
      hdr.add(other.hdr);
    },
    percentile,
    reset() {
      hdr.reset();
      [min, max, sum] = [Number.POSITIVE_INFINITY, 0, 0];
    },
    distribution() {
      if (hdr.totalCount === 0) return undefined;
      return {
        count: hdr.totalCount,
        min,
        max,
        mean: sum / hdr.totalCount,
        sd: hdr.stdDeviation / SCALE,
        ...percentilesOf(percentile),
        hdr: encodeIntoCompressedBase64(hdr),
      };
    },
  };
}

/** The percentiles that results and Locust's files have. */
export function percentilesOf(percentile: (percent: number) => number) {
  return {
    p50: percentile(50),
    p66: percentile(66),
    p75: percentile(75),
    p80: percentile(80),
    p90: percentile(90),
    p95: percentile(95),
    p98: percentile(98),
    p99: percentile(99),
    p99_9: percentile(99.9),
    p99_99: percentile(99.99),
  };
}
