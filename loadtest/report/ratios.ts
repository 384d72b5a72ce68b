import {
  comparePairs,
  LEAST_PAIRS,
  overall,
  type PairOptions,
  type Ratio,
  type Verdict,
} from "../analyze/pairs.ts";
import type { MeasureName, NamedPaired } from "../analyze/slices.ts";
import type { Notice } from "./overview.ts";
import { figure, plain, type Table, type Tone, toned } from "./tables.ts";
import type { Say } from "./words.ts";

export type NamedRatio = Ratio & { readonly name: MeasureName };

const TONES = {
  better: "good",
  worse: "bad",
  small: "plain",
  equal: "plain",
  noise: "muted",
} as const satisfies Record<Verdict, Tone>;

export function namedRatios(measures: readonly NamedPaired[], options: PairOptions): readonly NamedRatio[] {
  return comparePairs(measures, options).flatMap((ratio) => {
    const measure = measures.find(({ name }) => name === ratio.name);
    return measure === undefined ? [] : [{ ...ratio, name: measure.name }];
  });
}

/** Two runs or targets, measure by measure, with what is noise called so. */
export function ratioTable(
  ratios: readonly NamedRatio[],
  names: { readonly a: string; readonly b: string },
  delta: number,
  say: Say,
): Table {
  return {
    title: `${names.b} ${say("ratioOf")} ${names.a}`,
    head: [say("measure"), names.a, names.b, say("change"), say("interval"), say("verdict")],
    rows: ratios.map(({ name, a, b, ratio, low, high, verdict }) => [
      plain(say(name)),
      plain(figure(a)),
      plain(figure(b)),
      toned(change(ratio), TONES[verdict]),
      plain(Number.isFinite(high) ? `${change(low)} … ${change(high)}` : "–"),
      toned(say(verdict), TONES[verdict]),
    ]),
    note: `${say("verdictLegend")} ${(delta * 100).toPrecision(2)} %.`,
  };
}

/** Whether there are too few pairs for any answer. */
export function isTooShort(ratios: readonly NamedRatio[]): boolean {
  return ratios.every(({ pairs }) => pairs < LEAST_PAIRS);
}

/** The answer in one line. */
export function ratioNotice(ratios: readonly NamedRatio[], say: Say): Notice {
  const named = (verdicts: readonly Verdict[]) =>
    ratios
      .filter(({ verdict }) => verdicts.includes(verdict))
      .map(({ name, ratio, low, high }) => `${say(name)} ${change(ratio)} (${change(low)} … ${change(high)})`)
      .join("; ");
  const word = overall(ratios);
  const noise = named(["noise"]) === "" ? [] : [`${say("noise")}: ${named(["noise"])}`];
  switch (word) {
    case "different":
      return {
        text: `${say("different")}: ${named(["worse", "better"])}`,
        tone: ratios.some(({ verdict }) => verdict === "worse") ? "bad" : "good",
      };
    case "equal":
      return { text: [say("allEqual"), ...noise].join("; "), tone: "good" };
    case "noise":
      return { text: `${say("onlyNoise")}: ${named(["noise"])}`, tone: "warn" };
    default:
      return word satisfies never;
  }
}

function change(ratio: number): string {
  const percent = (ratio - 1) * 100;
  return `${percent < 0 ? "−" : "+"}${Math.abs(percent).toFixed(1)} %`;
}
