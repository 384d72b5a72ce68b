#!/usr/bin/env node
import { Command } from "commander";
import pkg from "../package.json" with { type: "json" };
import { ConfigError } from "../shared/config.ts";
import { configureDoctor } from "./commands/doctor.ts";
import { configurePull } from "./commands/pull.ts";
import { configureServe } from "./commands/serve.ts";
import { DownloadError } from "./models/download.ts";

/** Wrong input (a config, a flag, a model that can't be had); 1 is for everything else that fails. */
const EXIT_BAD_INPUT = 2;

const program = new Command("sluice")
  .description(pkg.description)
  .version(pkg.version)
  .showHelpAfterError("(sluice --help shows what there is)")
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : EXIT_BAD_INPUT));
configureServe(program);
configurePull(program);
configureDoctor(program);

try {
  await program.parseAsync();
} catch (error) {
  console.error(error instanceof Error ? `sluice: ${error.message}` : error);
  process.exit(error instanceof ConfigError || error instanceof DownloadError ? EXIT_BAD_INPUT : 1);
}
