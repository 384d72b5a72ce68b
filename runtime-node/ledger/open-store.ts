import { join, resolve } from "node:path";
import type { Log } from "../../functions/deps.ts";
import type { Config } from "../../shared/config.ts";
import type { Store } from "../../shared/store.ts";
import { userFolder } from "../user-folder.ts";

/**
 * The store that the configuration names, made where it isn't there yet. Several processes may open the same one.
 * Throws an Error that says why, and nothing secret, where it can't be opened.
 */
export async function openStore({ ledger, webhooks }: Config, log: Log): Promise<Store> {
  const ids = webhooks.map(({ id }) => id);
  // Imported where it is chosen: a start needn't load the database clients that it doesn't use.
  switch (ledger.store) {
    case "memory":
    case "sqlite": {
      const { createSqliteStore } = await import("./sqlite.ts");
      const path = ledger.store === "memory" ? ":memory:" : ledgerPath(ledger);
      return createSqliteStore({ path, webhooks: ids, now: Date.now, log });
    }
    case "postgres": {
      const { createPostgresStore } = await import("./postgres.ts");
      return await createPostgresStore({ url: urlOf(ledger), redis: ledger.redis, webhooks: ids, log });
    }
    default:
      return ledger.store satisfies never;
  }
}

/** Where money and keys are kept, to be shown: without a password. */
export function ledgerPlace({ ledger }: Config): string {
  switch (ledger.store) {
    case "memory":
      return "memory: forgotten when the server ends";
    case "sqlite":
      return `sqlite (${ledgerPath(ledger)})`;
    case "postgres": {
      const { host, pathname } = new URL(urlOf(ledger));
      return `postgres (${host}${pathname})`;
    }
    default:
      return ledger.store satisfies never;
  }
}

/** The SQLite file that is named, or the one in the user's data folder. */
export function ledgerPath({ path }: Config["ledger"]): string {
  return resolve(path ?? join(userFolder("data"), "ledger.db"));
}

function urlOf({ url }: Config["ledger"]): string {
  if (url === undefined) throw new Error("The configuration let a Postgres ledger through without a URL");
  return url;
}
