#!/usr/bin/env node
import { Command } from "commander";
import pkg from "../package.json" with { type: "json" };
import { EXIT, exitCodeFor } from "./exit.ts";

interface Listed {
  readonly name: string;
  readonly description: string;
  /** What gives the command its flags and its action. */
  load(): Promise<(command: Command) => void>;
}

const COMMANDS: readonly Listed[] = [
  {
    name: "run",
    description: "virtual users that wait for each answer and think before the next request",
    load: async () => (await import("./commands/run.ts")).configureRun,
  },
  {
    name: "rate",
    description: "requests on schedule, whatever the server does: no coordinated omission",
    load: async () => (await import("./commands/rate.ts")).configureRate,
  },
  {
    name: "sweep",
    description: "higher and higher loads, then the highest at which every objective holds",
    load: async () => (await import("./commands/sweep.ts")).configureSweep,
  },
  {
    name: "replay",
    description: "a trace, at its own times: one JSON object a line",
    load: async () => (await import("./commands/replay.ts")).configureReplay,
  },
  {
    name: "bench",
    description: "the standard benchmarks: speed by length, concurrency, model and hardware profiles",
    load: async () => (await import("./commands/bench.ts")).configureBench,
  },
  {
    name: "ab",
    description:
      "two servers in turn, in pairs: how they differ, and what of it is noise; exit 1 when B is worse",
    load: async () => (await import("./commands/ab.ts")).configureAb,
  },
  {
    name: "analyze",
    description: "print a stored run and draw its report anew",
    load: async () => (await import("./commands/analyze.ts")).configureAnalyze,
  },
  {
    name: "compare",
    description: "hold stored runs against the first: the same charts, and which differences are noise",
    load: async () => (await import("./commands/compare.ts")).configureCompare,
  },
  {
    name: "monitor",
    description: "sample this machine every second, on its own or beside a run, until --time or Ctrl-C",
    load: async () => (await import("./commands/monitor.ts")).configureMonitor,
  },
  {
    name: "mock",
    description: "a scripted server with known delays and faults, to test clients and gateways against",
    load: async () => (await import("./commands/mock.ts")).configureMock,
  },
  {
    name: "calibrate",
    description: "measure this client's own ceiling here; later runs are held against it",
    load: async () => (await import("./commands/calibrate.ts")).configureCalibrate,
  },
  {
    name: "self-test",
    description:
      "the ceiling, and whether figures are true: against a mock that knows them (also --self-test)",
    load: async () => (await import("./commands/calibrate.ts")).configureSelfTest,
  },
];

const program = new Command("sluice loadtest")
  .description("load tests for OpenAI-compatible servers, and what they can be trusted to say")
  .version(pkg.version)
  .showHelpAfterError("(--help shows what there is)")
  .addHelpText(
    "after",
    `
Exit codes: ${EXIT.held} every objective held; ${EXIT.sloBroken} one broke; ${EXIT.badInput} wrong flag or file; ${EXIT.invalid} the client was the limit, so the run says nothing;
${EXIT.dead} nothing succeeded; ${EXIT.interrupted} interrupted (the report is still written).`,
  )
  .exitOverride((error) => process.exit(error.exitCode === 1 ? EXIT.badInput : error.exitCode));

/** A reader that has seen enough (`| head`) is no reason to lose the run's folder, or its exit code. */
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
});

/** `--self-test` as the first word is a command's other name. */
const words = process.argv.slice(2).map((word) => (word === "--self-test" ? "self-test" : word));
try {
  for (const { name, description, load } of COMMANDS) {
    const command = program.command(name).description(description);
    // Each loads what it needs, and that is much: only those that are named, as `help run` names one too.
    if (words.includes(name)) (await load())(command);
  }
  await program.parseAsync(words, { from: "user" });
} catch (error) {
  console.error(error instanceof Error ? `loadtest: ${error.message}${hintFor(error)}` : error);
  process.exit(exitCodeFor(error));
}

/** In a clone its packages are development tools, which `npm start` does not install. */
function hintFor(error: Error): string {
  const isMissing = "code" in error && error.code === "ERR_MODULE_NOT_FOUND";
  return isMissing ? "\nnpm run loadtest -- --help installs what it needs" : "";
}
