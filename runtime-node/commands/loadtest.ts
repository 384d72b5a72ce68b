import type { Command } from "commander";

/** A program of its own with its own commands and help, which stands beside the runtime: loaded when it is asked for. */
export function configureLoadtest(command: Command): void {
  command.argument("[arguments...]").helpOption(false).allowUnknownOption().action(loadtest);
}

async function loadtest(words: readonly string[]): Promise<void> {
  // It reads its own command line, as it does when it is started itself.
  process.argv = [...process.argv.slice(0, 2), ...words];
  await import("#loadtest");
}
