import type { SeriesPoint, Summary } from "../result.ts";
import type { Paired } from "./pairs.ts";

/** What comparisons look at; the names are words (report/words.ts). */
const MEASURES = {
  requestsPerSecond: { better: "higher", isTail: false },
  tokensPerSecond: { better: "higher", isTail: false },
  ttftP50: { better: "lower", isTail: false },
  ttftP95: { better: "lower", isTail: true },
  tpotP50: { better: "lower", isTail: false },
  e2eP50: { better: "lower", isTail: false },
  e2eP95: { better: "lower", isTail: true },
  successRate: { better: "higher", isTail: false },
} as const satisfies Record<string, Pick<Paired, "better" | "isTail">>;

export type MeasureName = keyof typeof MEASURES;
export type NamedPaired = Paired & { readonly name: MeasureName };
/** Figures of one slice of time; undefined where there was nothing to measure. */
export type Slice = Readonly<Record<MeasureName, number | undefined>>;

const NAMES: readonly MeasureName[] = [
  "requestsPerSecond",
  "tokensPerSecond",
  "ttftP50",
  "ttftP95",
  "tpotP50",
  "e2eP50",
  "e2eP95",
  "successRate",
];

/** The series' percentiles are of the last 10 s: every tenth of them shares nothing with the one before. */
const SECONDS = 10;
/** Longer runs have longer slices instead of more: neighbours are then less alike, and all flips are gone through. */
const MOST = 12;

/** Measure by measure, the nth slice of one beside the nth of the other. */
export function pairsOf(a: readonly Slice[], b: readonly Slice[]): readonly NamedPaired[] {
  const values = (slices: readonly Slice[], name: MeasureName) =>
    slices.map((slice) => slice[name] ?? Number.NaN);
  return NAMES.map((name) => ({ name, ...MEASURES[name], a: values(a, name), b: values(b, name) }));
}

/** A slice that was measured on its own. Requests that fail are no throughput: failing at once is not fast. */
export function sliceOf(summary: Summary): Slice {
  const { requests, failures, tokenSource, tokensPerSecond, metrics } = summary;
  // Where a server tells of no tokens chunks were counted, and another's may hold more or fewer.
  const hasTokens = tokenSource !== "chunks";
  return {
    requestsPerSecond: summary.requestsPerSecond - summary.failuresPerSecond,
    tokensPerSecond: hasTokens ? tokensPerSecond.completion : undefined,
    ttftP50: metrics.ttft?.p50,
    ttftP95: metrics.ttft?.p95,
    tpotP50: hasTokens ? metrics.tpot?.p50 : undefined,
    e2eP50: metrics.e2e?.p50,
    e2eP95: metrics.e2e?.p95,
    successRate: 100 * (1 - failures / requests),
  };
}

/**
 * Two stored runs as pairs: the measured part of each cut into slices of ten seconds or more. Empty when either is
 * shorter than a slice.
 */
export function pairedSlices(a: readonly SeriesPoint[], b: readonly SeriesPoint[]): readonly NamedPaired[] {
  const tens = [tensOf(a), tensOf(b)] as const;
  const count = Math.min(...tens.map((each) => each.length));
  if (count === 0) return [];
  const [first, second] = tens.map((each) => joined(each.slice(0, count)));
  return pairsOf(first ?? [], second ?? []);
}

/** Slices of ten seconds of what was measured. */
function tensOf(series: readonly SeriesPoint[]): readonly Slice[] {
  const measured = series.filter(({ phase }) => phase === "measured");
  return Array.from({ length: Math.floor(measured.length / SECONDS) }, (_, at) => {
    const seconds = measured.slice(at * SECONDS, (at + 1) * SECONDS);
    const last = seconds.at(-1);
    const ended = mean(seconds.map((each) => each.requestsPerSecond));
    const failed = mean(seconds.map((each) => each.failuresPerSecond));
    return {
      requestsPerSecond: ended - failed,
      tokensPerSecond: mean(seconds.map((each) => each.tokensPerSecond)),
      ttftP50: last?.ttft?.p50,
      ttftP95: last?.ttft?.p95,
      tpotP50: undefined,
      e2eP50: last?.e2e?.p50,
      e2eP95: last?.e2e?.p95,
      successRate: 100 * (1 - failed / ended),
    };
  });
}

/** Neighbours put together by their means until there are 12 at most. */
function joined(tens: readonly Slice[]): readonly Slice[] {
  const count = Math.min(MOST, tens.length);
  return Array.from({ length: count }, (_, slice) => {
    const from = Math.floor((slice * tens.length) / count);
    const group = tens.slice(from, Math.floor(((slice + 1) * tens.length) / count));
    const of = (name: MeasureName) => mean(group.map((each) => each[name] ?? Number.NaN));
    return {
      requestsPerSecond: of("requestsPerSecond"),
      tokensPerSecond: of("tokensPerSecond"),
      ttftP50: of("ttftP50"),
      ttftP95: of("ttftP95"),
      tpotP50: of("tpotP50"),
      e2eP50: of("e2eP50"),
      e2eP95: of("e2eP95"),
      successRate: of("successRate"),
    };
  });
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
