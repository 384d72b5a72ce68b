import type { Calibration, Result, Summary, Verdict } from "./result.ts";
import type { ClientReading } from "./watch.ts";

type Check = Verdict["checks"][number];

export interface VerdictInput {
  readonly client: ClientReading;
  readonly aggregated: Summary;
  /** Open loop: how late requests were handled, p99 over the window; null in the closed one. */
  readonly slipP99Ms: number | null;
  readonly calibration: Calibration | null;
  /** False when the run ended before every user was up: the summaries then cover the ramp too. */
  readonly hasWindow: boolean;
}

/** Whether the client was fit to measure what it measured. Limits as in the README's section on validity. */
export function judge(input: VerdictInput): Verdict {
  const { client, aggregated, slipP99Ms, calibration, hasWindow } = input;
  const clientErrors = aggregated.failuresByKind.client_limit ?? 0;
  const checks = [
    limit(
      "event-loop delay p99",
      client.lagP99Ms,
      "ms",
      [5, 20],
      "the client could not keep up: spread the load over more machines",
    ),
    limit(
      "event-loop utilisation",
      client.utilisation * 100,
      "%",
      [60, 85],
      "the client's thread was busy: its own work is in the latencies",
    ),
    limit(
      "client CPU",
      client.cpuPercent,
      "% of a core",
      [120, 160],
      "the client needs more CPU than one thread has",
    ),
    limit("garbage collection", client.gcPercent, "%", [2, 5], "the client stopped for its garbage"),
    limit(
      "client errors",
      clientErrors,
      "",
      [null, 0],
      "the system refused the client files or ports (ulimit -n, ephemeral ports)",
    ),
    ...optional(client.cpuWaitPercent, (value) =>
      limit(
        "waiting for a CPU",
        value,
        "%",
        [5, 15],
        "other processes had the CPU when the client needed it",
      ),
    ),
    ...optional(client.stealPercent, (value) =>
      limit("steal", value, "%", [2, 10], "the hypervisor took CPU from this machine"),
    ),
    ...optional(slipP99Ms, (value) =>
      limit("dispatch slip p99", value, "ms", [5, 20], "requests were sent late by the client itself"),
    ),
    ...(calibration === null ? [] : resolutionChecks(aggregated, calibration)),
    ...(hasWindow
      ? []
      : [
          warning(
            "steady window",
            "the run ended before every user was up and had an answer: the ramp is in the figures",
          ),
        ]),
  ];
  const bad = checks.filter(({ level }) => level !== "ok");
  const reasons = [...bad].sort((a, b) => (a.level === b.level ? 0 : a.level === "invalid" ? -1 : 1));
  return {
    isValid: checks.every(({ level }) => level !== "invalid"),
    reasons: reasons.map(reasonOf),
    checks,
  };
}

/** A plan that asks for more than this share of the client's measured ceiling is warned of before it starts. */
const CEILING_SHARE = 0.7;

/** Undefined when the plan is well within what this client can do, or nobody measured that. */
export function ceilingWarning(
  load: Result["plan"]["load"],
  calibration: Calibration | null,
): string | undefined {
  if (calibration === null) return undefined;
  const [wanted, ceiling, unit] =
    load.kind === "rate"
      ? [Math.max(load.requestsPerSecond, load.rampTo ?? 0), calibration.requestsPerSecond, "requests/s"]
      : load.kind === "users"
        ? [load.users, calibration.streams, "streams"]
        : load.kind === "concurrency"
          ? [load.concurrency, calibration.streams, "streams"]
          : [0, 1, ""];
  if (wanted <= CEILING_SHARE * ceiling) return undefined;
  return `the plan asks for ${wanted} ${unit}; this client's ceiling here is ${Math.round(ceiling)} (see calibrate)`;
}

/**
 * A latency near the client's own share in it says more of the client than of the server. Chunks that a server
 * sends several at once have gaps near 0 in truth: those only warn.
 */
function resolutionChecks({ metrics }: Summary, { overheadMs }: Calibration): Check[] {
  return (["ttft", "icl"] as const).flatMap((metric) => {
    const median = metrics[metric]?.p50;
    if (median === undefined || overheadMs.p50 === 0) return [];
    const times = median / overheadMs.p50;
    const invalid = metric === "ttft" ? 2 : 0;
    const level = times < invalid ? "invalid" : times < 5 ? "warn" : "ok";
    const message = `${metric} is at the resolution limit: the client itself adds ${overheadMs.p50.toFixed(2)} ms`;
    const unit = "times the client's own";
    return [{ name: `resolution of ${metric}`, value: times, unit, warn: 5, invalid, level, message }];
  });
}

function limit(
  name: string,
  value: number,
  unit: string,
  [warn, invalid]: readonly [number | null, number],
  message: string,
): Check {
  const level = value > invalid ? "invalid" : warn !== null && value > warn ? "warn" : "ok";
  return { name, value, unit, warn, invalid, level, message };
}

function warning(name: string, message: string): Check {
  return { name, value: 0, unit: "", warn: 0, invalid: 1, level: "warn", message };
}

function optional<T>(value: number | null, check: (value: number) => T): T[] {
  return value === null ? [] : [check(value)];
}

function reasonOf({ name, value, unit, warn, invalid, level, message }: Check): string {
  const bound = level === "invalid" ? invalid : warn;
  return `${level}: ${name} ${value.toFixed(1)}${unit.startsWith("%") ? " " : unit === "" ? "" : " "}${unit} (limit ${bound?.toFixed(1) ?? "none"}): ${message}`;
}
