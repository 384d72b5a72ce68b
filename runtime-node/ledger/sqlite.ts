import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import type { Log } from "../../functions/deps.ts";
import { type ApiError, unavailable } from "../../shared/openai/errors.ts";
import type { Sql, SqlRow } from "../../shared/sql-store/sql.ts";
import { createSqlStore, type Write } from "../../shared/sql-store/store.ts";
import type { Store } from "../../shared/store.ts";
import { createGroupCommit } from "./group-commit.ts";

export interface SqliteOptions {
  /** The file, made with its folder where it isn't there; `:memory:` for one that is gone at `close`. */
  readonly path: string;
  /** The ledger's clock, Unix ms. */
  readonly now: () => number;
  /** Ids of the webhooks that are told of each receipt. */
  readonly webhooks?: readonly string[];
  readonly log: Log;
}

/** How long another process (`sluice keys`, `sluice ledger`) may hold the file before a call fails, in ms. */
const BUSY_MS = 2000;

/**
 * The embedded store: one file in WAL mode. What is asked in one turn of the event loop is written by one commit, which
 * reaches the disk (`synchronous=FULL`) before anybody is answered: a receipt survives kill -9 and a power cut. Where
 * the file can't be written (disk full, locked, read-only), holds are refused with 503, and settles are kept in memory
 * until they can be. Throws an Error that names the file where it can't be opened.
 */
export function createSqliteStore({ path, now, webhooks = [], log }: SqliteOptions): Store {
  const database = openDatabase(path);
  const sql = sqlOf(database);
  const commits = createGroupCommit({ transaction: sql.transaction, isFault, refusal, log });
  const write: Write = commits.write;
  return createSqlStore(sql, {
    now,
    webhooks,
    write,
    close: async () => {
      await commits.close();
      database.close();
    },
  });
}

function openDatabase(path: string): DatabaseSync {
  try {
    if (path !== ":memory:") mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const database = new DatabaseSync(path, { timeout: BUSY_MS });
    database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON");
    return database;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`The ledger's file ${path} can't be opened: ${reason}. Set \`ledger.path\`.`, { cause });
  }
}

/** The database as the ledgers' core speaks to it; statements are prepared once. */
function sqlOf(database: DatabaseSync): Sql {
  const statements = new Map<string, StatementSync>();
  const prepared = (query: string): StatementSync => {
    const known = statements.get(query) ?? database.prepare(query);
    statements.set(query, known);
    return known;
  };
  let depth = 0;
  return {
    all: (query, ...values) => prepared(query).all(...values) as readonly SqlRow[], // Rows are objects by column.
    run: (query, ...values) => Number(prepared(query).run(...values).changes),
    transaction(work) {
      const [begin, commit, rollback] =
        depth === 0
          ? ["BEGIN IMMEDIATE", "COMMIT", "ROLLBACK"]
          : [`SAVEPOINT s${depth}`, `RELEASE s${depth}`, `ROLLBACK TO s${depth}`];
      prepared(begin).run();
      depth++;
      try {
        const result = work();
        prepared(commit).run();
        return result;
      } catch (thrown) {
        // A full disk ends the transaction by itself.
        if (database.isTransaction) prepared(rollback).run();
        throw thrown;
      } finally {
        depth--;
      }
    },
  };
}

/** SQLITE_BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, CORRUPT, FULL, CANTOPEN, PROTOCOL, NOTADB (sqlite.org/rescode.html). */
const FAULTS: ReadonlySet<number> = new Set([5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 26]);

/** The file's fault, not the call's. */
function isFault(thrown: unknown): boolean {
  const { errcode }: { errcode?: unknown } = Object(thrown);
  return typeof errcode === "number" && FAULTS.has(errcode & 0xff);
}

function refusal(cause: unknown): ApiError {
  return unavailable(
    "The ledger can't be written, so nothing can be served. Retry in a moment.",
    1000,
    cause,
  );
}
