import type { Outcome } from "./outcome.ts";

/** One line of the release check: of the specification's checklist or of its table of goals. */
export interface ReleaseLine {
  readonly kind: "checklist" | "goal";
  readonly name: string;
  readonly target: string;
  /** The figure, or why there is none. */
  readonly measured: string;
  readonly isPassed: boolean;
}

/** What the specification asks of a release. */
export const GOALS = {
  healthMs: 100,
  responseMs: 3000,
  requestsPerMinute: 50,
  successPercent: 95,
  memoryGrowthMiB: 100,
  cpuPercent: 80,
  users: 100,
} as const;

export interface Evidence {
  readonly outcomes: readonly Outcome[];
  readonly documentProblems: readonly string[];
}

/** Every line, measured or tested; what was not measured has not passed. */
export function releaseLines({ outcomes, documentProblems }: Evidence): readonly ReleaseLine[] {
  const find = (name: Outcome["name"]) => outcomes.find((outcome) => outcome.name === name);
  const figure = (name: Outcome["name"], key: string) => find(name)?.figures[key];
  const success = figure("stress", "successPercent");
  return [
    tested("all unit tests pass", [find("unit")]),
    tested("integration tests pass", [find("integration")]),
    tested("OpenAI compatibility tests pass", [find("compat"), find("running")]),
    platforms(find("platform"), find("compat")),
    goal(
      "checklist",
      "performance: response time",
      figure("perf", "responseMeanMs"),
      "<",
      GOALS.responseMs,
      "ms",
    ),
    goal("checklist", `stress: success with ${GOALS.users} users`, success, ">", GOALS.successPercent, "%"),
    goal(
      "checklist",
      "no memory leak: growth under load",
      figure("perf", "memoryGrowthMiB"),
      "<",
      GOALS.memoryGrowthMiB,
      "MiB",
    ),
    {
      kind: "checklist",
      name: "documentation complete",
      target: "scripts named, links alive, both languages in step",
      measured: documentProblems.length === 0 ? "complete" : documentProblems.join("; "),
      isPassed: documentProblems.length === 0,
    },
    goal("goal", "health check, mean", figure("perf", "healthMeanMs"), "<", GOALS.healthMs, "ms"),
    goal(
      "goal",
      "response time, mean of a short chat",
      figure("perf", "responseMeanMs"),
      "<",
      GOALS.responseMs,
      "ms",
    ),
    goal(
      "goal",
      `response time, mean with ${GOALS.users} users`,
      figure("stress", "responseMeanMs"),
      "<",
      GOALS.responseMs,
      "ms",
    ),
    goal(
      "goal",
      "throughput",
      figure("stress", "requestsPerMinute"),
      ">",
      GOALS.requestsPerMinute,
      "requests/min",
    ),
    goal("goal", "success rate", success, ">", GOALS.successPercent, "%"),
    goal(
      "goal",
      "memory: growth over the stress run",
      figure("stress", "memoryGrowthMiB"),
      "<",
      GOALS.memoryGrowthMiB,
      "MiB",
    ),
    cpu(find("stress")),
  ];
}

function tested(name: string, outcomes: readonly (Outcome | undefined)[]): ReleaseLine {
  const ran = outcomes.filter((outcome) => outcome !== undefined);
  const sum = (read: (outcome: Outcome) => number) =>
    ran.reduce((total, outcome) => total + read(outcome), 0);
  const isPassed = ran.length === outcomes.length && ran.every((outcome) => outcome.isPassed);
  const counts = `${sum(({ passed }) => passed)} passed, ${sum(({ failed }) => failed)} failed, ${sum(({ skipped }) => skipped)} not here`;
  return {
    kind: "checklist",
    name,
    target: "0 failed",
    measured: ran.length === outcomes.length ? counts : "not run",
    isPassed,
  };
}

/**
 * The specification asks for two platforms. One machine has one system, and two runtimes that the product runs on:
 * Node here, and workerd, in which the client suites run the Worker. Other systems run this check themselves.
 */
function platforms(platform: Outcome | undefined, compat: Outcome | undefined): ReleaseLine {
  const isPassed = platform?.isPassed === true && compat?.isPassed === true;
  const here =
    platform === undefined
      ? "not run"
      : `${platform.figures.platform ?? "?"} (Node ${platform.figures.node ?? "?"})`;
  return {
    kind: "checklist",
    name: "platform tests pass on 2 platforms",
    target: "this system, and workerd",
    measured: `${here}${compat?.isPassed === true ? " and workerd" : ""}`,
    isPassed,
  };
}

function goal(
  kind: ReleaseLine["kind"],
  name: string,
  value: number | string | undefined,
  relation: "<" | ">",
  limit: number,
  unit: string,
): ReleaseLine {
  const target = `${relation} ${limit} ${unit}`;
  if (typeof value !== "number") return { kind, name, target, measured: "not measured", isPassed: false };
  const isPassed = relation === "<" ? value < limit : value > limit;
  return { kind, name, target, measured: `${round(value)} ${unit}`, isPassed };
}

/** What a server takes of a machine that is short of CPU says little: such a figure has not passed. */
function cpu(stress: Outcome | undefined): ReleaseLine {
  const name = "CPU of the server, of all cores, mean over the stress run";
  const line = goal("goal", name, stress?.figures.serverCpuPercent, "<", GOALS.cpuPercent, "%");
  if (stress?.figures.isValid !== "false") return line;
  return {
    ...line,
    measured: `${line.measured}, but the machine was busy with other things`,
    isPassed: false,
  };
}

export function round(value: number): string {
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(Math.abs(value) >= 10 ? 1 : 2);
}
