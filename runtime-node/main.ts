#!/usr/bin/env node
import { Command } from "commander";
import pkg from "../package.json" with { type: "json" };

interface Listed {
  readonly name: string;
  readonly description: string;
  /** What gives the command its flags and its action. */
  load(): Promise<(command: Command) => void>;
}

const DEFAULT = "serve";

const COMMANDS: readonly Listed[] = [
  {
    name: DEFAULT,
    description: "serve the OpenAI API (the default)",
    load: async () => (await import("./commands/serve.ts")).configureServe,
  },
  {
    name: "pull",
    description: "download a model into the cache and print its path",
    load: async () => (await import("./commands/pull.ts")).configurePull,
  },
  {
    name: "doctor",
    description: "look at this machine and the configuration, and say what to do; exit 1 when it can't serve",
    load: async () => (await import("./commands/doctor.ts")).configureDoctor,
  },
  {
    name: "keys",
    description: "keys that clients may use",
    load: async () => (await import("./commands/keys.ts")).configureKeys,
  },
  {
    name: "accounts",
    description: "who pays, and how much they may spend",
    load: async () => (await import("./commands/accounts.ts")).configureAccounts,
  },
  {
    name: "ledger",
    description: "the books: proof and receipts",
    load: async () => (await import("./commands/ledger.ts")).configureLedger,
  },
  {
    name: "loadtest",
    description: "load tests for OpenAI-compatible servers (sluice loadtest --help)",
    load: async () => (await import("./commands/loadtest.ts")).configureLoadtest,
  },
];

/** For what the user gave and can't be used; 1 is for everything else that fails. */
const EXIT_BAD_INPUT = 2;

const program = new Command("sluice")
  .description(pkg.description)
  .version(pkg.version)
  .showHelpAfterError("(sluice --help shows what there is)")
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : EXIT_BAD_INPUT));

const words = process.argv.slice(2);
try {
  for (const { name, description, load } of COMMANDS) {
    const command = program.command(name, { isDefault: name === DEFAULT }).description(description);
    // Each loads what it needs, and that is much: only those that are named, as `help keys` names one too.
    if (words.includes(name) || (name === DEFAULT && isDefaultMeant(words[0]))) (await load())(command);
  }
  await program.parseAsync();
} catch (error) {
  const { isBadInput } = await import("./bad-input.ts");
  console.error(error instanceof Error ? `sluice: ${error.message}` : error);
  process.exit(isBadInput(error) ? EXIT_BAD_INPUT : 1);
}

function isDefaultMeant(first: string | undefined): boolean {
  if (first === undefined) return true;
  const isAnswered = /^(-h|--help|help|-V|--version)$/.test(first);
  return !isAnswered && COMMANDS.every(({ name }) => name !== first);
}
