import type { Log } from "../../functions/deps.ts";
import { createSqlStore } from "../../shared/sql-store/store.ts";
import type { Store } from "../../shared/store.ts";
import { createGroupCommit, type GroupCommit } from "./group-commit.ts";
import { faultOf, openSqliteFile, reasonOf } from "./sqlite-file.ts";

export interface SqliteOptions {
  /** The file, made with its folder where it isn't there; `:memory:` for one that is gone at `close`. */
  readonly path: string;
  /** The ledger's clock, Unix ms. */
  readonly now: () => number;
  /** Ids of the webhooks that are told of each receipt. */
  readonly webhooks?: readonly string[];
  readonly log: Log;
}

/**
 * The embedded store: one SQLite file, which other processes may use at the same time. What is asked in one turn of the
 * event loop is one commit. A receipt survives kill -9; a power cut may make the last second forgotten, and never
 * leaves half of a request. Where the file can't be used, calls are refused with 503 until it can be; what ends a hold
 * is kept in memory and written then. Throws an Error that names the file where it can't be opened.
 */
export function createSqliteStore({ path, now, webhooks = [], log }: SqliteOptions): Store {
  const file = openSqliteFile(path);
  let commits: GroupCommit | undefined;
  const store = createSqlStore(file, {
    now,
    webhooks,
    createWrite(transaction) {
      commits = createGroupCommit({ transaction, faultOf, log });
      return commits.write;
    },
    async close() {
      commits?.close();
      file.close();
    },
  });
  const { verify } = store.books;
  return {
    ...store,
    books: {
      ...store.books,
      async verify() {
        try {
          const rows = file.all("PRAGMA integrity_check(20)").map((row) => String(row.integrity_check));
          const damages = rows.filter((row) => row !== "ok").map((row) => `The file is damaged: ${row}.`);
          return damages.length > 0 ? damages : await verify();
        } catch (thrown) {
          if (faultOf(thrown) !== "broken") throw thrown;
          return [`The file is damaged: ${reasonOf(thrown)}.`];
        }
      },
    },
  };
}
