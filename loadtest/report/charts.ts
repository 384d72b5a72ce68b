import type { EChartsOption, LineSeriesOption } from "echarts";
import { curve } from "./curve.ts";
import type { Drawing, Drawn, Moment } from "./drawing.ts";
import { distribution } from "./histogram.ts";
import { color, frame, lineSeries, MUTED, valueAxis } from "./style.ts";
import type { Say, Word } from "./words.ts";

/** One chart: the same option draws it in a page and, without a browser, as a picture. */
export interface Chart {
  /** Also the picture's file name. */
  readonly id: string;
  readonly option: EChartsOption;
}

/** A line over time: a single run shows all of them, a comparison the headline of each run. */
interface Trend {
  readonly word: Word | "p50" | "p95" | "p99";
  readonly isHeadline?: boolean;
  readonly read: (moment: Moment) => number | undefined;
}

interface TimeChart {
  readonly id: string;
  readonly title: Word;
  readonly unit: Word;
  readonly trends: readonly Trend[];
}

const TIME_CHARTS: readonly TimeChart[] = [
  {
    id: "p95",
    title: "p95Chart",
    unit: "msAxis",
    trends: [
      { word: "p50", read: ({ p50 }) => p50 },
      { word: "p95", isHeadline: true, read: ({ p95 }) => p95 },
      { word: "p99", read: ({ p99 }) => p99 },
    ],
  },
  {
    id: "rps",
    title: "rpsChart",
    unit: "rpsAxis",
    trends: [
      { word: "requestsPerSecond", isHeadline: true, read: ({ requestsPerSecond }) => requestsPerSecond },
      { word: "failuresPerSecond", read: ({ failuresPerSecond }) => failuresPerSecond },
    ],
  },
  {
    id: "users",
    title: "usersChart",
    unit: "usersAxis",
    trends: [
      // An open loop has no users: what is in flight stands for them.
      { word: "users", isHeadline: true, read: ({ users, inFlight }) => (users === 0 ? inFlight : users) },
      { word: "flying", read: ({ inFlight }) => inFlight },
    ],
  },
  {
    id: "failure-rate",
    title: "failureChart",
    unit: "percentAxis",
    trends: [{ word: "failureRate", isHeadline: true, read: failureRate }],
  },
  {
    id: "tokens",
    title: "tokensChart",
    unit: "tokensAxis",
    trends: [
      { word: "completionTokensPerSecond", isHeadline: true, read: ({ tokensPerSecond }) => tokensPerSecond },
    ],
  },
];

const DISTRIBUTIONS: readonly { readonly drawn: Drawn; readonly title: Word }[] = [
  { drawn: "ttft", title: "ttftChart" },
  { drawn: "icl", title: "iclChart" },
  { drawn: "e2e", title: "e2eChart" },
];

/** Of one run, or of several laid over each other. What no run measured has no chart. */
export function chartsOf(drawings: readonly Drawing[], say: Say): readonly Chart[] {
  const distributions = DISTRIBUTIONS.flatMap(({ drawn, title }) => {
    const option = distribution(drawings, drawn, say(title), say);
    return option === undefined ? [] : [{ id: drawn, option }];
  });
  const swept = curve(drawings, say);
  return [
    ...(swept === undefined ? [] : [{ id: "throughput-latency", option: swept }]),
    ...TIME_CHARTS.filter(({ trends }) => isMeasured(drawings, trends)).map((chart) => ({
      id: chart.id,
      option: timeChart(drawings, chart, say),
    })),
    ...distributions,
  ];
}

function isMeasured(drawings: readonly Drawing[], trends: readonly Trend[]): boolean {
  return drawings.some(({ moments }) =>
    moments.some((moment) => trends.some(({ read }) => read(moment) !== undefined)),
  );
}

/** Trends above, and under them how late the client itself was: what a bump in both is worth. */
function timeChart(
  drawings: readonly Drawing[],
  { title, unit, trends }: TimeChart,
  say: Say,
): EChartsOption {
  const single = drawings.length === 1 ? drawings[0] : undefined;
  const main =
    single === undefined
      ? drawings.map(({ name, moments }, at) => {
          const headline = trends.find(({ isHeadline }) => isHeadline === true);
          return lineSeries(name, color(at), points(moments, headline?.read ?? (() => undefined)));
        })
      : trends.map(({ word, read }, at) =>
          lineSeries(
            word.startsWith("p") ? word : nameOf(word, say),
            color(at),
            points(single.moments, read),
          ),
        );
  const lags = drawings.map(({ name, moments }, at) =>
    lineSeries(
      single === undefined ? name : say("clientLag"),
      single === undefined ? color(at) : MUTED,
      points(moments, ({ clientLagMs }) => clientLagMs),
    ),
  );
  const hasLag = drawings.some(({ moments }) => moments.some(({ clientLagMs }) => clientLagMs !== undefined));
  const shaded = single === undefined ? main : withPhases(main, single.moments, say);
  const time = valueAxis({ name: say("timeAxis"), position: "bottom", min: 0, max: "dataMax" });
  if (!hasLag)
    return frame(say(title), { xAxis: [time], yAxis: [valueAxis({ name: say(unit) })], series: shaded });
  return frame(say(title), {
    grid: [
      { top: 90, bottom: "36%", left: 62, right: 24 },
      { top: "76%", bottom: 46, left: 62, right: 24 },
    ],
    axisPointer: { link: [{ xAxisIndex: "all" }] },
    xAxis: [
      { ...time, name: "", axisLabel: { show: false } },
      { ...time, gridIndex: 1 },
    ],
    yAxis: [
      valueAxis({ name: say(unit), min: 0 }),
      valueAxis({ name: say("lagAxis"), min: 0, gridIndex: 1, splitNumber: 2 }),
    ],
    series: [...shaded, ...lags.map((line) => ({ ...line, xAxisIndex: 1, yAxisIndex: 1 }))],
  });
}

function nameOf(word: Trend["word"], say: Say): string {
  return word === "p50" || word === "p95" || word === "p99" ? word : say(word);
}

function points(
  moments: readonly Moment[],
  read: (moment: Moment) => number | undefined,
): (readonly [number, number | null])[] {
  return moments.map((moment) => [moment.second, rounded(read(moment))]);
}

function rounded(value: number | undefined): number | null {
  return value === undefined ? null : Number(value.toPrecision(5));
}

function failureRate({ requestsPerSecond, failuresPerSecond }: Moment): number {
  return requestsPerSecond === 0 ? 0 : (failuresPerSecond / requestsPerSecond) * 100;
}

/** Grey where nothing was measured: before the window and after it. */
function withPhases(
  series: readonly LineSeriesOption[],
  moments: readonly Moment[],
  say: Say,
): LineSeriesOption[] {
  const areas = (["warmup", "cooldown"] as const).flatMap((phase) => {
    const seconds = moments.filter((moment) => moment.phase === phase).map(({ second }) => second);
    if (seconds.length === 0) return [];
    const edges = [{ name: say(phase), xAxis: Math.min(...seconds) - 1 }, { xAxis: Math.max(...seconds) }];
    return [edges];
  });
  return series.map((line, at) =>
    at === 0 && areas.length > 0
      ? {
          ...line,
          markArea: {
            silent: true,
            itemStyle: { color: "rgba(120,130,145,0.13)" },
            label: { color: MUTED, fontSize: 11 },
            data: areas.map(([from = {}, to = {}]) => [from, to]),
          },
        }
      : line,
  );
}
