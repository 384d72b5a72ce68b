import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { createSqliteStore } from "../../runtime-node/ledger/sqlite.ts";
import { booksContract } from "./books.ts";
import { directoryContract } from "./directory.ts";
import { ledgerContract } from "./ledger.ts";
import type { MakeStore } from "./ledger-fixtures.ts";

const folder = mkdtempSync(join(tmpdir(), "sluice-ledger-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const silent = () => {};
const log = { debug: silent, info: silent, warn: silent, error: silent };

const inMemory: MakeStore = (setup) => createSqliteStore({ path: ":memory:", log, ...setup });
let files = 0;
const inFile: MakeStore = (setup) =>
  createSqliteStore({ path: join(folder, `${files++}`, "ledger.db"), log, ...setup });

ledgerContract("SQLite in memory", inMemory);
booksContract("SQLite in memory", inMemory);
directoryContract("SQLite in memory", inMemory);
ledgerContract("SQLite in a file", inFile);
booksContract("SQLite in a file", inFile);
directoryContract("SQLite in a file", inFile);
