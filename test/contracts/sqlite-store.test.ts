import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { createSqliteStore, type SqliteOptions } from "../../runtime-node/ledger/sqlite.ts";
import type { Store } from "../../shared/store.ts";
import { booksContract } from "./books.ts";
import { directoryContract } from "./directory.ts";
import { ledgerContract } from "./ledger.ts";
import type { MakeStore, Reopen } from "./ledger-fixtures.ts";

const folder = mkdtempSync(join(tmpdir(), "sluice-ledger-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const silent = () => {};
const log = { debug: silent, info: silent, warn: silent, error: silent };

const inMemory: MakeStore = (setup) => createSqliteStore({ path: ":memory:", log, ...setup });
let files = 0;
const opened = new WeakMap<Store, SqliteOptions>();
const open = (options: SqliteOptions): Store => {
  const store = createSqliteStore(options);
  opened.set(store, options);
  return store;
};
const inFile: MakeStore = (setup) => open({ path: join(folder, `${files++}`, "ledger.db"), log, ...setup });
const reopen: Reopen = (store) => {
  const options = opened.get(store);
  if (options === undefined) throw new Error("It was not opened here");
  return open(options);
};

ledgerContract("SQLite in memory", inMemory);
booksContract("SQLite in memory", inMemory);
directoryContract("SQLite in memory", inMemory);
ledgerContract("SQLite in a file", inFile, reopen);
booksContract("SQLite in a file", inFile);
directoryContract("SQLite in a file", inFile);
