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

/** A figure of a suite, and what the specification asks of it. */
type Goal = readonly [
  name: string,
  suite: Outcome["name"],
  figure: string,
  "<" | ">",
  limit: number,
  unit: string,
];

const RESPONSE: Goal = ["response time, mean of a short chat", "perf", "responseMeanMs", "<", 3000, "ms"];
const SUCCESS: Goal = ["success rate with 100 users", "stress", "successPercent", ">", 95, "%"];
const MEMORY: Goal = ["memory: growth under load", "perf", "memoryGrowthMiB", "<", 100, "MiB"];
const CPU: Goal = [
  "CPU of the server, of all cores, with 100 users",
  "stress",
  "serverCpuPercent",
  "<",
  80,
  "%",
];
const GOALS: readonly Goal[] = [
  ["health check, mean", "perf", "healthMeanMs", "<", 100, "ms"],
  RESPONSE,
  ["response time, mean with 100 users", "stress", "responseMeanMs", "<", 3000, "ms"],
  ["throughput with 100 users", "stress", "requestsPerMinute", ">", 50, "requests/min"],
  SUCCESS,
  ["memory: growth with 100 users", "stress", "memoryGrowthMiB", "<", 100, "MiB"],
];

export interface Evidence {
  readonly outcomes: readonly Outcome[];
  readonly documentProblems: readonly string[];
}

/** Every line, measured or tested; what was not measured has not passed. */
export function releaseLines({ outcomes, documentProblems }: Evidence): readonly ReleaseLine[] {
  const find: Find = (name) => outcomes.find((outcome) => outcome.name === name);
  const documents = documentProblems.length === 0 ? "complete" : documentProblems.join("; ");
  return [
    tested("all unit tests pass", [find("unit")]),
    tested("integration tests pass", [find("integration")]),
    tested("OpenAI compatibility tests pass", [find("compat"), find("running")]),
    platforms(find("platform"), find("compat")),
    ...[RESPONSE, SUCCESS, MEMORY].map((goal) => measured("checklist", goal, find)),
    {
      kind: "checklist",
      name: "documentation complete",
      target: "scripts named, links alive, both languages in step",
      measured: documents,
      isPassed: documentProblems.length === 0,
    },
    ...GOALS.map((goal) => measured("goal", goal, find)),
    cpu(find),
  ];
}

type Find = (name: Outcome["name"]) => Outcome | undefined;

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

function measured(
  kind: ReleaseLine["kind"],
  [name, suite, figure, relation, limit, unit]: Goal,
  find: Find,
): ReleaseLine {
  const target = `${relation} ${limit} ${unit}`;
  const value = find(suite)?.figures[figure];
  if (typeof value !== "number") return { kind, name, target, measured: "not measured", isPassed: false };
  const isPassed = relation === "<" ? value < limit : value > limit;
  return { kind, name, target, measured: `${round(value)} ${unit}`, isPassed };
}

/** What a server takes of a machine that is short of CPU says little: such a figure has not passed. */
function cpu(find: Find): ReleaseLine {
  const line = measured("goal", CPU, find);
  if (find("stress")?.figures.isValid !== "false") return line;
  return {
    ...line,
    measured: `${line.measured}, but the machine was busy with other things`,
    isPassed: false,
  };
}

export function round(value: number): string {
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(Math.abs(value) >= 10 ? 1 : 2);
}
