#!/usr/bin/env node
import { Command } from "commander";
import pkg from "../package.json" with { type: "json" };
import { configureAb } from "./commands/ab.ts";
import { configureAnalyze } from "./commands/analyze.ts";
import { configureBench } from "./commands/bench.ts";
import { configureCalibrate } from "./commands/calibrate.ts";
import { configureCompare } from "./commands/compare.ts";
import { configureMock } from "./commands/mock.ts";
import { configureMonitor } from "./commands/monitor.ts";
import { configureRate } from "./commands/rate.ts";
import { configureReplay } from "./commands/replay.ts";
import { configureRun } from "./commands/run.ts";
import { configureSweep } from "./commands/sweep.ts";
import { InputError } from "./profile.ts";
import { EXIT } from "./session.ts";
import { DeadTargetError } from "./target.ts";

const program = new Command("loadtest")
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
for (const configure of [
  configureRun,
  configureRate,
  configureSweep,
  configureReplay,
  configureBench,
  configureAb,
  configureAnalyze,
  configureCompare,
  configureMonitor,
  configureMock,
  configureCalibrate,
])
  configure(program);

/** `--self-test` as the first word is a command's other name. */
const words = process.argv.slice(2).map((word) => (word === "--self-test" ? "self-test" : word));
try {
  await program.parseAsync(words, { from: "user" });
} catch (error) {
  console.error(error instanceof Error ? `loadtest: ${error.message}` : error);
  process.exit(exitCodeFor(error));
}

function exitCodeFor(error: unknown): number {
  if (error instanceof InputError) return EXIT.badInput;
  return error instanceof DeadTargetError ? EXIT.dead : EXIT.sloBroken;
}
