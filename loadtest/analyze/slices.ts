import type { SeriesPoint } from "../result.ts";
import type { Paired } from "./pairs.ts";

/** Measures that a comparison looks at; names of words (report/words.ts). */
export type MeasureName =
  | "requestsPerSecond"
  | "tokensPerSecond"
  | "ttftP50"
  | "ttftP95"
  | "tpotP50"
  | "e2eP50"
  | "e2eP95";

export type NamedPaired = Paired & { readonly name: MeasureName };

/** The series' percentiles are of the last 10 s: every tenth of them shares nothing with the one before. */
const SECONDS = 10;
/** Longer runs have longer slices instead of more: neighbours are then less alike, and all flips are gone through. */
const MOST = 12;

interface Measure {
  readonly name: MeasureName;
  readonly better: Paired["better"];
  /** Of ten seconds. */
  readonly read: (seconds: readonly SeriesPoint[]) => number | undefined;
}

const MEASURES: readonly Measure[] = [
  {
    name: "requestsPerSecond",
    better: "higher",
    read: (seconds) => mean(seconds, (each) => each.requestsPerSecond),
  },
  {
    name: "tokensPerSecond",
    better: "higher",
    read: (seconds) => mean(seconds, (each) => each.tokensPerSecond),
  },
  { name: "ttftP50", better: "lower", read: (seconds) => seconds.at(-1)?.ttft?.p50 },
  { name: "ttftP95", better: "lower", read: (seconds) => seconds.at(-1)?.ttft?.p95 },
  { name: "e2eP50", better: "lower", read: (seconds) => seconds.at(-1)?.e2e?.p50 },
  { name: "e2eP95", better: "lower", read: (seconds) => seconds.at(-1)?.e2e?.p95 },
];

/**
 * Two stored runs as pairs: the measured part of each cut into slices of ten seconds or more, the nth of one beside
 * the nth of the other. Empty when either is shorter than a slice.
 */
export function pairedSlices(a: readonly SeriesPoint[], b: readonly SeriesPoint[]): readonly NamedPaired[] {
  const tens = [a, b].map(tensOf);
  const count = Math.min(...tens.map((each) => each.length));
  const slices = Math.min(MOST, count);
  if (slices === 0) return [];
  return MEASURES.map(({ name, better, read }) => {
    const [first = [], second = []] = tens.map((each) => {
      const values = each.slice(0, count).map(read);
      return Array.from({ length: slices }, (_, slice) => {
        const from = Math.floor((slice * count) / slices);
        const to = Math.floor(((slice + 1) * count) / slices);
        return mean(values.slice(from, to), (value) => value ?? Number.NaN);
      });
    });
    return { name, better, a: first, b: second };
  });
}

function tensOf(series: readonly SeriesPoint[]): readonly (readonly SeriesPoint[])[] {
  const measured = series.filter(({ phase }) => phase === "measured");
  return Array.from({ length: Math.floor(measured.length / SECONDS) }, (_, at) =>
    measured.slice(at * SECONDS, (at + 1) * SECONDS),
  );
}

function mean<Each>(values: readonly Each[], read: (value: Each) => number): number {
  return values.reduce((sum, value) => sum + read(value), 0) / values.length;
}
