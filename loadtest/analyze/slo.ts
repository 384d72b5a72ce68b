import { METRICS, type Metric } from "../record.ts";
import type { Distribution, SloCheck, Summary } from "../result.ts";

/** A service-level objective: `ttft_p95=500ms` holds while the figure is not above 500 ms. */
export interface Slo {
  /** As written, for messages. */
  readonly text: string;
  readonly figure: Figure;
  /** In `unit`. */
  readonly limit: number;
  readonly unit: SloCheck["unit"];
  readonly isAtLeast: boolean;
}

export type SloParse =
  | { readonly ok: true; readonly slo: Slo }
  | { readonly ok: false; readonly problem: string };

/** What objectives are held against. */
export interface Figures {
  readonly requests: number;
  readonly failures: number;
  readonly requestsPerSecond: number;
  readonly completionTokensPerSecond: number;
  /** Share of attempted requests, 0 to 1, and good ones a second. */
  readonly goodput: { readonly share: number; readonly requestsPerSecond: number };
  readonly metrics: Partial<Record<Metric, Omit<Distribution, "hdr">>>;
  /** Of this machine, of all its CPUs, over the window; undefined when nobody sampled it. */
  readonly cpuPercent: number | undefined;
}

type Statistic = Exclude<keyof Distribution, "hdr" | "count" | "sd">;
type Figure =
  | { readonly kind: "latency"; readonly metric: Metric; readonly statistic: Statistic }
  | { readonly kind: Single };
type Single = (typeof SINGLES)[number];

const SINGLES = [
  "success",
  "goodput",
  "requests_per_second",
  "requests_per_minute",
  "tokens_per_second",
  "good_requests_per_second",
  "cpu_mean",
] as const;

const STATISTICS = new Map<string, Statistic>([
  ["mean", "mean"],
  ["min", "min"],
  ["p50", "p50"],
  ["p66", "p66"],
  ["p75", "p75"],
  ["p80", "p80"],
  ["p90", "p90"],
  ["p95", "p95"],
  ["p98", "p98"],
  ["p99", "p99"],
  ["p99.9", "p99_9"],
  ["p99.99", "p99_99"],
  ["max", "max"],
]);

/**
 * Reads `name=value`. Latencies take a time (`us`, `ms`, `s`, `min`), shares a percent sign, rates a number.
 *
 * @example parseSlo("ttft_p95=500ms")
 */
export function parseSlo(text: string): SloParse {
  const at = text.indexOf("=");
  const refuse = (reason: string): SloParse => ({ ok: false, problem: `objective \`${text}\`: ${reason}` });
  if (at < 1) return refuse("it has the form name=value, such as ttft_p95=500ms or success=95%");
  const name = text.slice(0, at).trim();
  const value = text.slice(at + 1).trim();
  const figure = figureNamed(name);
  if (figure === undefined)
    return refuse(
      `\`${name}\` is not known; allowed: ${METRICS.join("|")} with _${[...STATISTICS.keys()].join("|_")}, and ${SINGLES.join(", ")}`,
    );
  const { unit, isAtLeast } = traits(figure);
  const limit = { ms: milliseconds, "%": percent, "/s": count, "/min": count }[unit](value);
  if (limit === undefined) {
    const allowed = { ms: "a time such as 500ms or 3s", "%": "a share from 0% to 100%" };
    return refuse(
      `\`${name}\` takes ${unit === "ms" || unit === "%" ? allowed[unit] : "a number such as 50"}`,
    );
  }
  return { ok: true, slo: { text, figure, limit, unit, isAtLeast } };
}

/** An objective whose figure the run doesn't have is not held. */
export function checkSlos(slos: readonly Slo[], figures: Figures): SloCheck[] {
  return slos.map(({ text, figure, limit, unit, isAtLeast }) => {
    const actual = read(figure, figures);
    const isHeld = actual !== undefined && (isAtLeast ? actual >= limit : actual <= limit);
    return { slo: text, isAtLeast, limit, actual: actual ?? null, unit, isHeld };
  });
}

/**
 * What one request must keep to be a good one, in ms: the limit of every latency that an objective names.
 * `ttft_p95=500ms` asks it of 95 requests in 100; goodput counts those that keep it.
 */
export function requestLimits(slos: readonly Slo[]): Partial<Record<Metric, number>> {
  const limits: Partial<Record<Metric, number>> = {};
  for (const { figure, limit } of slos)
    if (figure.kind === "latency") limits[figure.metric] = Math.min(limit, limits[figure.metric] ?? limit);
  return limits;
}

/** What a summary and its goodput say, as objectives ask for it. */
export function figuresOf(
  summary: Pick<Summary, "requests" | "failures" | "requestsPerSecond" | "metrics" | "tokensPerSecond">,
  goodput: Figures["goodput"],
  cpuPercent?: number,
): Figures {
  const { requests, failures, requestsPerSecond, metrics, tokensPerSecond } = summary;
  const completionTokensPerSecond = tokensPerSecond.completion;
  return { requests, failures, requestsPerSecond, completionTokensPerSecond, goodput, metrics, cpuPercent };
}

function figureNamed(name: string): Figure | undefined {
  const single = SINGLES.find((each) => each === name);
  if (single !== undefined) return { kind: single };
  const [metricName, statisticName = ""] = name.split("_");
  const metric = METRICS.find((each) => each === metricName);
  const statistic = STATISTICS.get(statisticName);
  return metric === undefined || statistic === undefined || name !== `${metric}_${statisticName}`
    ? undefined
    : { kind: "latency", metric, statistic };
}

function traits({ kind }: Figure): { readonly unit: SloCheck["unit"]; readonly isAtLeast: boolean } {
  switch (kind) {
    case "latency":
      return { unit: "ms", isAtLeast: false };
    case "cpu_mean":
      return { unit: "%", isAtLeast: false };
    case "success":
    case "goodput":
      return { unit: "%", isAtLeast: true };
    case "requests_per_minute":
      return { unit: "/min", isAtLeast: true };
    case "requests_per_second":
    case "tokens_per_second":
    case "good_requests_per_second":
      return { unit: "/s", isAtLeast: true };
    default:
      return kind satisfies never;
  }
}

function read(figure: Figure, figures: Figures): number | undefined {
  switch (figure.kind) {
    case "latency":
      return figures.metrics[figure.metric]?.[figure.statistic];
    case "success":
      return percentOf(figures.requests - figures.failures, figures.requests);
    case "goodput":
      return percentOf(Math.round(figures.goodput.share * figures.requests), figures.requests);
    case "requests_per_second":
      return figures.requestsPerSecond;
    case "requests_per_minute":
      return figures.requestsPerSecond * 60;
    case "tokens_per_second":
      return figures.completionTokensPerSecond;
    case "good_requests_per_second":
      return figures.goodput.requestsPerSecond;
    case "cpu_mean":
      return figures.cpuPercent;
    default:
      return figure satisfies never;
  }
}

/** Of whole numbers, and rounded once: 93 of 100 are 93 %, not a little less, and keep an objective of 93 %. */
function percentOf(part: number, all: number): number | undefined {
  return all === 0 ? undefined : (100 * part) / all;
}

function milliseconds(text: string): number | undefined {
  const [, digits, unit] = /^(\d+(?:\.\d+)?)\s*(us|ms|s|min)$/.exec(text) ?? [];
  const factor = { us: 1e-3, ms: 1, s: 1e3, min: 6e4 }[unit ?? ""];
  return factor === undefined ? undefined : Number(digits) * factor;
}

function percent(text: string): number | undefined {
  const [, digits] = /^(\d+(?:\.\d+)?)\s*%$/.exec(text) ?? [];
  return Number(digits) <= 100 ? Number(digits) : undefined;
}

function count(text: string): number | undefined {
  return /^\d+(\.\d+)?$/.test(text) ? Number(text) : undefined;
}
