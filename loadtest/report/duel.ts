import type { PairsOutcome } from "../ab.ts";
import { LEAST_PAIRS } from "../analyze/pairs.ts";
import type { MeasureName } from "../analyze/slices.ts";
import type { Contender } from "../contender.ts";
import { targetText } from "../target.ts";
import type { Chart } from "./charts.ts";
import { checkName } from "./checks.ts";
import type { Notice } from "./overview.ts";
import type { PageContent } from "./page.ts";
import { ratioNotice, ratioTable } from "./ratios.ts";
import { color, frame, lineSeries, valueAxis } from "./style.ts";
import { figure, plain, type Table, toned } from "./tables.ts";
import type { Say } from "./words.ts";

/** Two servers after their turns. */
export interface Duel {
  readonly a: Contender;
  readonly b: Contender;
  readonly outcome: PairsOutcome;
  readonly delta: number;
  readonly sliceMs: number;
  readonly concurrency: number;
}

export function duelPage(duel: Duel, say: Say): PageContent {
  const { a, b, outcome, delta } = duel;
  return {
    title: say("pairsTitle"),
    subtitle: `A ${targetText(a.target)} · B ${targetText(b.target)}`,
    notices: notices(duel, say),
    summary: [
      facts(duel, say),
      ...(outcome.ratios.length === 0 ? [] : [ratioTable(outcome.ratios, { a: "A", b: "B" }, delta, say)]),
    ],
    details: [],
    charts: pairChart(outcome, say),
  };
}

function notices({ a, b, outcome }: Duel, say: Say): readonly Notice[] {
  const objections = new Set([...a.objections.keys(), ...b.objections.keys()]);
  const names = [...objections].map((name) => checkName(name, say.language)).join(", ");
  if (outcome.a.length < LEAST_PAIRS)
    return [
      outcome.dropped > 0
        ? { text: `${say("abInvalid")}: ${names}`, tone: "bad" }
        : { text: say("fewPairs"), tone: "warn" },
    ];
  const dropped: Notice = { text: `${say("droppedPairs")}: ${outcome.dropped} (${names})`, tone: "warn" };
  return [ratioNotice(outcome.ratios, say), ...(outcome.dropped > 0 ? [dropped] : [])];
}

function facts({ a, b, outcome, sliceMs, concurrency }: Duel, say: Say): Table {
  const side = ({ target, model }: Contender) => plain(`${targetText(target)} ${model}`);
  const failed = ({ tally: { requests, failures } }: Contender) =>
    toned(`${failures} / ${requests}`, failures > 0 ? "bad" : "plain");
  return {
    title: say("overview"),
    head: [],
    rows: [
      [plain("A"), side(a)],
      [plain("B"), side(b)],
      [plain(say("pairs")), plain(String(outcome.a.length))],
      [plain(say("slice")), plain(`${figure(sliceMs / 1000)} s`)],
      [plain(say("concurrency")), plain(String(concurrency))],
      [plain(`A: ${say("failures")}`), failed(a)],
      [plain(`B: ${say("failures")}`), failed(b)],
    ],
  };
}

/** How far each pair's halves were apart: whether the difference is in all of them, or one made it. */
function pairChart({ a, b, ratios }: PairsOutcome, say: Say): readonly Chart[] {
  if (ratios.length === 0) return [];
  const changes = (name: MeasureName) =>
    a.map((slice, at): [number, number] => [at + 1, 100 * ((b[at]?.[name] ?? 0) / (slice[name] ?? 1) - 1)]);
  const option = frame(say("pairsChart"), {
    xAxis: {
      ...valueAxis({ name: say("pairAxis"), position: "bottom", min: 1, max: "dataMax" }),
      minInterval: 1,
    },
    yAxis: valueAxis({ name: say("percentAxis") }),
    series: ratios
      .filter(({ isTail }) => !isTail)
      .map(({ name }, at) => ({
        ...lineSeries(
          say(name),
          color(at),
          changes(name).map(([pair, change]) => [pair, Number(change.toFixed(2))]),
        ),
        showSymbol: true,
        symbol: "circle",
      })),
  });
  return [{ id: "pairs", option }];
}
