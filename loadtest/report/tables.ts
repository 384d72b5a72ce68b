import { METRICS, type Metric } from "../record.ts";
import type { Distribution, Result, SloCheck, Summary } from "../result.ts";
import type { Say } from "./words.ts";

export type Tone = "plain" | "good" | "bad" | "warn" | "muted";
export interface Cell {
  readonly text: string;
  readonly tone: Tone;
}

/** Drawn by the console and by the page alike. Numbers stand right, so the first column is the text. */
export interface Table {
  readonly title: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly Cell[])[];
  readonly note?: string;
}

export function plain(text: string): Cell {
  return { text, tone: "plain" };
}

export function toned(text: string, tone: Tone): Cell {
  return { text, tone };
}

/** Three digits that matter, and no exponent: 0.42, 3.14, 99.8, 1234. */
export function figure(value: number): string {
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
}

/** A rate or a concurrency as people write it: 5, 12.5. */
export function loadFigure(load: number): string {
  return String(Number(load.toPrecision(3)));
}

const PERCENTILES = [
  ["p50", 50],
  ["p90", 90],
  ["p95", 95],
  ["p99", 99],
  ["p99_9", 99.9],
] as const;
const SURE = 10;

/** A percentile in ms, marked where fewer than 10 values lie beyond it: chance decides those. */
export function percentile(of: Distribution, key: (typeof PERCENTILES)[number][0]): string {
  const [, share] = PERCENTILES.find(([name]) => name === key) ?? [key, 50];
  // Rounded, as 100 - 99.9 is a little less than 0.1.
  const beyond = Math.round(of.count * (100 - share) * 1e6) / 1e8;
  return `${beyond < SURE ? "~" : ""}${figure(of[key])}`;
}

export function objectives(checks: readonly SloCheck[], say: Say): Table | undefined {
  if (checks.length === 0) return undefined;
  const amount = (value: number, unit: SloCheck["unit"]) => `${figure(value)} ${unit}`;
  return {
    title: say("objectives"),
    head: [say("objective"), say("limit"), say("actual"), say("outcome")],
    rows: checks.map(({ slo, isAtLeast, limit, actual, unit, isHeld }) => [
      plain(slo),
      plain(`${isAtLeast ? "≥" : "≤"} ${amount(limit, unit)}`),
      actual === null ? toned(say("notMeasured"), "bad") : plain(amount(actual, unit)),
      isHeld ? toned(say("held"), "good") : toned(say("broken"), "bad"),
    ]),
  };
}

export function latencies(summary: Summary, say: Say): Table | undefined {
  const isWanted = (metric: Metric) => metric !== "ttfo" || summary.tokens.reasoning > 0;
  const rows = METRICS.filter(isWanted).flatMap((metric) => {
    const values = summary.metrics[metric];
    if (values === undefined || values.count === 0) return [];
    const percentiles = PERCENTILES.map(([key]) => percentile(values, key));
    return [[say(metric), figure(values.mean), ...percentiles, figure(values.max)].map(plain)];
  });
  if (rows.length === 0) return undefined;
  const p99 = summary.correctedE2e?.p99;
  const omission = p99 === undefined ? "" : ` ${say("omission")} ${figure(p99)} ms`;
  return {
    title: say("latencies"),
    head: [say("latency"), say("mean"), "p50", "p90", "p95", "p99", "p99.9", say("max")],
    rows,
    note: `${say("approximate")}${omission}`,
  };
}

export function endpoints({ endpoints: all, aggregated }: Result, say: Say): Table {
  return {
    title: say("endpoints"),
    head: [
      say("endpoint"),
      say("requests"),
      say("failures"),
      say("requestsPerSecond"),
      say("meanMs"),
      "p50",
      "p95",
      "p99",
      say("max"),
    ],
    rows: [...all, aggregated].map((summary) => {
      const { e2e } = summary.metrics;
      const times =
        e2e === undefined
          ? Array.from({ length: 5 }, () => "–")
          : [
              figure(e2e.mean),
              percentile(e2e, "p50"),
              percentile(e2e, "p95"),
              percentile(e2e, "p99"),
              figure(e2e.max),
            ];
      return [
        plain(summary === aggregated ? say("aggregated") : `${summary.method} ${summary.name}`),
        plain(String(summary.requests)),
        toned(String(summary.failures), summary.failures > 0 ? "bad" : "plain"),
        plain(figure(summary.requestsPerSecond)),
        ...times.map(plain),
      ];
    }),
  };
}

/** Several runs, a line each. */
export function runsTable(
  runs: readonly { readonly name: string; readonly result: Result }[],
  say: Say,
): Table {
  return {
    title: say("overview"),
    head: [
      say("run"),
      say("target"),
      say("requests"),
      say("failures"),
      say("requestsPerSecond"),
      say("completionTokensPerSecond"),
      "TTFT p95",
      "E2E p50",
      "E2E p95",
    ],
    rows: runs.map(({ name, result: { plan, aggregated } }) => {
      const { metrics } = aggregated;
      return [
        plain(name),
        plain(plan.target),
        plain(String(aggregated.requests)),
        toned(String(aggregated.failures), aggregated.failures > 0 ? "bad" : "plain"),
        plain(figure(aggregated.requestsPerSecond)),
        plain(aggregated.tokenSource === null ? "–" : figure(aggregated.tokensPerSecond.completion)),
        ...[metrics.ttft?.p95, metrics.e2e?.p50, metrics.e2e?.p95].map((value) =>
          plain(value === undefined ? "–" : figure(value)),
        ),
      ];
    }),
  };
}

export function failures({ failures: lines }: Result, say: Say): Table | undefined {
  if (lines.length === 0) return undefined;
  return {
    title: say("failureKinds"),
    head: [say("endpoint"), say("kind"), say("error"), say("occurrences")],
    rows: lines.map(({ method, name, kind, error, occurrences }) => [
      plain(`${method} ${name}`),
      toned(kind, "bad"),
      plain(error),
      plain(String(occurrences)),
    ]),
  };
}

export function finishReasons(
  { finishReasons: reasons, outputTokens }: Summary,
  say: Say,
): Table | undefined {
  const named = Object.entries(reasons);
  if (named.length === 0) return undefined;
  const lengths =
    outputTokens === null
      ? undefined
      : `${say("outputLength")}: p50 ${figure(outputTokens.p50)}, p95 ${figure(outputTokens.p95)}, ${say("max")} ${figure(outputTokens.max)}`;
  return {
    title: say("finishReasons"),
    head: [say("kind"), say("occurrences")],
    rows: named.map(([reason, count]) => [plain(reason), plain(String(count))]),
    ...(lengths === undefined ? {} : { note: lengths }),
  };
}

export function sweep({ sweep: swept }: Result, say: Say): Table | undefined {
  if (swept === null) return undefined;
  const { points, highestHeld } = swept;
  return {
    title: say("sweep"),
    head: [
      say("load"),
      say("requestsPerSecond"),
      say("completionTokensPerSecond"),
      say("goodput"),
      "TTFT p95",
      "E2E p95",
      say("failures"),
      say("outcome"),
    ],
    rows: [...points]
      .sort((one, other) => one.load - other.load)
      .map((point) => [
        plain(loadFigure(point.load)),
        plain(figure(point.requestsPerSecond)),
        plain(figure(point.tokensPerSecond)),
        plain(figure(point.goodput.requestsPerSecond)),
        plain(point.metrics.ttft === undefined ? "–" : figure(point.metrics.ttft.p95)),
        plain(point.metrics.e2e === undefined ? "–" : figure(point.metrics.e2e.p95)),
        toned(String(point.failures), point.failures > 0 ? "bad" : "plain"),
        point.isHeld ? toned(say("held"), "good") : toned(brokenBecause(point, say), "bad"),
      ]),
    note: `${say("highestHeld")}: ${highestHeld === null ? say("none") : loadFigure(highestHeld)}`,
  };
}

function brokenBecause(
  { isValid, isSteady, slo }: NonNullable<Result["sweep"]>["points"][number],
  say: Say,
): string {
  if (!isValid) return say("invalidLevel");
  if (!isSteady) return say("growing");
  const broken = slo.filter(({ isHeld }) => !isHeld).map((check) => check.slo);
  return [say("broken"), ...broken].join(" ");
}
