import { decodeHistogram } from "../histogram.ts";
import type { Distribution, Result, SeriesPoint, SweepPoint } from "../result.ts";

/** What charts show of a moment; undefined where nobody measured it. */
export interface Moment {
  readonly second: number;
  readonly phase: SeriesPoint["phase"];
  readonly users: number;
  readonly inFlight: number | undefined;
  readonly requestsPerSecond: number;
  readonly failuresPerSecond: number;
  readonly tokensPerSecond: number | undefined;
  readonly p50: number | undefined;
  readonly p95: number | undefined;
  readonly p99: number | undefined;
  readonly clientLagMs: number | undefined;
}

export type Drawn = "ttft" | "icl" | "e2e";

/** A run as the charts see it, wherever it came from. */
export interface Drawing {
  readonly name: string;
  readonly moments: readonly Moment[];
  readonly distributions: Partial<Record<Drawn, Distribution>>;
  readonly points: readonly SweepPoint[];
  readonly highestHeld: number | undefined;
}

/** Bars of one distribution: the share of values in ms from each edge to the next, in percent. */
export interface Bins {
  readonly edges: readonly number[];
  readonly shares: readonly (readonly number[])[];
  readonly isLogarithmic: boolean;
}

/** A chart has no more pixels to show more, and the page would carry them twice. */
const MOMENTS = 400;
const BINS = 60;
/** Chunks that arrive together have gaps near 0: they would take up most of a logarithmic axis. */
const BELOW_MEDIAN = 20;
/** A value's share of the distribution when it is read at as many percentiles. */
const STEPS = 1000;

export function drawingOf(name: string, result: Result): Drawing {
  const { metrics } = result.aggregated;
  return {
    name,
    moments: thin(
      result.series.map((point) => ({
        ...point,
        p50: point.e2e?.p50,
        p95: point.e2e?.p95,
        p99: point.e2e?.p99,
      })),
    ),
    distributions: { ttft: metrics.ttft, icl: metrics.icl, e2e: metrics.e2e },
    points: [...(result.sweep?.points ?? [])].sort((one, other) => one.load - other.load),
    highestHeld: result.sweep?.highestHeld ?? undefined,
  };
}

/** As many neighbours as it takes are put together: rates by their mean, latencies and lag by their worst. */
export function thin(moments: readonly Moment[]): readonly Moment[] {
  const size = Math.ceil(moments.length / MOMENTS);
  if (size <= 1) return moments;
  const groups = Array.from({ length: Math.ceil(moments.length / size) }, (_, at) =>
    moments.slice(at * size, (at + 1) * size),
  );
  return groups.flatMap((group) => {
    const last = group.at(-1);
    if (last === undefined) return [];
    const mean = (of: (moment: Moment) => number) =>
      group.reduce((sum, moment) => sum + of(moment), 0) / group.length;
    const worst = (of: (moment: Moment) => number | undefined) => {
      const values = group.map(of).filter((value) => value !== undefined);
      return values.length === 0 ? undefined : Math.max(...values);
    };
    return [
      {
        ...last,
        requestsPerSecond: mean((moment) => moment.requestsPerSecond),
        failuresPerSecond: mean((moment) => moment.failuresPerSecond),
        tokensPerSecond:
          last.tokensPerSecond === undefined ? undefined : mean((moment) => moment.tokensPerSecond ?? 0),
        p50: worst((moment) => moment.p50),
        p95: worst((moment) => moment.p95),
        p99: worst((moment) => moment.p99),
        clientLagMs: worst((moment) => moment.clientLagMs),
      },
    ];
  });
}

/**
 * The same bins for several distributions, so that they can lie over each other. Steps grow by a factor where the
 * values span a wide range; what lies outside 99.8 % of the values is counted into the outermost bins.
 */
export function binsOf(distributions: readonly Distribution[]): Bins {
  const values = distributions.map(valuesOf);
  const low = Math.min(
    ...values.map((each) => Math.max(each[1] ?? 0, (each[each.length / 2] ?? 0) / BELOW_MEDIAN)),
  );
  const high = Math.max(...values.map((each) => each.at(-2) ?? 0), low * 1.01, low + 0.01);
  const isLogarithmic = low > 0 && high / low > 8;
  const edges = Array.from({ length: BINS + 1 }, (_, at) =>
    isLogarithmic ? low * (high / low) ** (at / BINS) : low + ((high - low) * at) / BINS,
  );
  const shares = values.map((each) => {
    const counts = edges.slice(1).map(() => 0);
    for (const value of each) {
      const share = isLogarithmic
        ? Math.log(value / low) / Math.log(high / low)
        : (value - low) / (high - low);
      const bin = Math.min(BINS - 1, Math.max(0, Math.floor(share * BINS)));
      counts[bin] = (counts[bin] ?? 0) + 100 / each.length;
    }
    return counts;
  });
  return { edges, shares, isLogarithmic };
}

/** Values in ms at evenly spaced percentiles, rising. */
function valuesOf(distribution: Distribution): readonly number[] {
  const histogram = decodeHistogram(distribution);
  return Array.from({ length: STEPS }, (_, at) =>
    Math.max(0.001, histogram.percentile(((at + 0.5) / STEPS) * 100)),
  );
}
