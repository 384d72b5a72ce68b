#!/usr/bin/env node
import { Command } from "commander";
import pkg from "../package.json" with { type: "json" };
import { ConfigError } from "../shared/config.ts";
import { ApiError } from "../shared/openai/errors.ts";
import { configureAccounts } from "./commands/accounts.ts";
import { configureDoctor } from "./commands/doctor.ts";
import { configureKeys } from "./commands/keys.ts";
import { configureLedger } from "./commands/ledger.ts";
import { configureLoadtest } from "./commands/loadtest.ts";
import { configurePull } from "./commands/pull.ts";
import { configureServe } from "./commands/serve.ts";
import { InputError } from "./input-error.ts";
import { DownloadError } from "./models/download.ts";

/** Wrong input (a config, a flag, a key that isn't there, a model that can't be had); 1 is for everything else that fails. */
const EXIT_BAD_INPUT = 2;

const program = new Command("sluice")
  .description(pkg.description)
  .version(pkg.version)
  .showHelpAfterError("(sluice --help shows what there is)")
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : EXIT_BAD_INPUT));
configureServe(program);
configurePull(program);
configureDoctor(program);
configureKeys(program);
configureAccounts(program);
configureLedger(program);
configureLoadtest(program);

try {
  await program.parseAsync();
} catch (error) {
  console.error(error instanceof Error ? `sluice: ${error.message}` : error);
  process.exit(isBadInput(error) ? EXIT_BAD_INPUT : 1);
}

function isBadInput(error: unknown): boolean {
  if (error instanceof ApiError) return error.status < 500;
  return [ConfigError, DownloadError, InputError].some((kind) => error instanceof kind);
}
