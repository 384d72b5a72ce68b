import { createLog } from "../../functions/log.ts";
import type { Config } from "../../shared/config.ts";
import { withConfigured } from "../../shared/configured-directory.ts";
import type { Directory } from "../../shared/directory.ts";
import type { Store } from "../../shared/store.ts";
import { readConfig } from "../config-file.ts";
import { InputError } from "../input-error.ts";
import { openStore } from "../ledger/open-store.ts";

export interface StoreFlags {
  readonly config?: string;
  readonly json?: boolean;
}

export interface OpenedStore {
  readonly config: Config;
  readonly store: Store;
  /** With the configuration's keys and accounts in it. */
  readonly directory: Directory;
}

export const CONFIG_OPTION = [
  "-c, --config <file>",
  "configuration file (default: sluice.yaml, or SLUICE_CONFIG)",
] as const;
export const JSON_OPTION = ["--json", "print JSON"] as const;

/** The store that the configuration names, for one command. A server may run on it at the same time. */
export async function useStore(
  flags: StoreFlags,
  work: (opened: OpenedStore) => Promise<void>,
): Promise<void> {
  const { config } = await readConfig({ path: flags.config, env: process.env });
  if (config.ledger.store === "memory")
    throw new InputError("`ledger.store` is memory, so nothing is kept beside the server's own process.");
  const log = createLog("warn", (line) => process.stderr.write(`${line}\n`));
  const store = await openStore(config, log);
  try {
    await work({ config, store, directory: withConfigured(config, store.directory) });
  } finally {
    await store.close();
  }
}

export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

/** Rows under a head, in columns as wide as they need. */
export function printTable(head: readonly string[], rows: readonly (readonly string[])[]): void {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  for (const row of all)
    process.stdout.write(
      `${row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd()}\n`,
    );
}
