import { closeSync, mkdirSync, openSync } from "node:fs";
import { type FileHandle, open as openFile } from "node:fs/promises";
import { dirname } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { ApiError, unavailable } from "../../shared/openai/errors.ts";
import type { Sql, SqlRow } from "../../shared/sql-store/sql.ts";

export interface SqliteFile extends Sql {
  close(): void;
}

/** How long the process may stand still for another one that writes. */
const BUSY_MS = 50;
/** At a start, nobody waits yet. */
const BUSY_AT_OPEN_MS = 2000;
/** How much time a power cut can make forgotten. */
const SYNC_MS = 1000;

/**
 * Opens a file, made with its folder where it isn't there (`:memory:` for none), in WAL mode. What can't be read or
 * written later (disk full, locked, read-only, damaged) throws an ApiError 503; the file is opened again then, so that
 * it goes on by itself once the cause is gone. Throws an Error that names the file where it can't be opened first.
 *
 * A commit is in the kernel's hands when it returns, so it outlives this process. It reaches the disk within a second,
 * off the event loop: `synchronous=FULL` would stop every stream at each commit for as long as the disk takes, which
 * halved the requests a second of 16 at once even where that is 0.2 ms (a fast virtual disk, 2026-11).
 */
export function openSqliteFile(path: string): SqliteFile {
  let database = open(path);
  let statements = new Map<string, StatementSync>();
  let isStale = false;
  let wal = syncOf(path);

  function guarded<T>(work: () => T): T {
    try {
      if (isStale) reopen();
      return work();
    } catch (thrown) {
      if (codeOf(thrown) === undefined) throw thrown;
      isStale ||= isDamage(thrown);
      throw unavailable(
        "The ledger can't be reached, so nothing can be served. Retry in a moment.",
        1000,
        thrown,
      );
    }
  }

  function reopen(): void {
    statements = new Map();
    wal?.close();
    wal = syncOf(path); // Closing the last connection removes the file.
    if (database.isOpen) database.close();
    database = new DatabaseSync(path, { timeout: BUSY_MS });
    setUp(database);
    isStale = false;
  }

  function prepared(query: string): StatementSync {
    const known = statements.get(query) ?? database.prepare(query);
    statements.set(query, known);
    return known;
  }

  function within<T>(begin: string, work: () => T): T {
    return guarded(() => {
      prepared(begin).run();
      try {
        const result = work();
        prepared("COMMIT").run();
        return result;
      } catch (thrown) {
        // A full disk ends the transaction by itself.
        if (database.isTransaction) prepared("ROLLBACK").run();
        throw thrown;
      }
    });
  }

  return {
    all: (query, ...values) => guarded(() => prepared(query).all(...values) as readonly SqlRow[]), // By column.
    run: (query, ...values) => guarded(() => Number(prepared(query).run(...values).changes)),
    transaction(work) {
      const result = within("BEGIN IMMEDIATE", work);
      wal?.soon();
      return result;
    },
    snapshot: (work) => within("BEGIN", work),
    close() {
      wal?.close();
      if (database.isOpen) database.close();
    },
  };
}

function open(path: string): DatabaseSync {
  try {
    if (path !== ":memory:") {
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      closeSync(openSync(path, "a", 0o600)); // It knows who pays what: for nobody else's eyes.
    }
    const database = new DatabaseSync(path, { timeout: BUSY_AT_OPEN_MS });
    setUp(database);
    database.exec(`PRAGMA busy_timeout = ${BUSY_MS}`);
    return database;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`The ledger's file ${path} can't be opened: ${reason}. Set \`ledger.path\`.`, { cause });
  }
}

function setUp(database: DatabaseSync): void {
  // A checkpoint writes each changed page once, however often it was changed since the last one, and waits for the disk:
  // every 32 MB instead of 4 took a third off the processor's time for each request (2026-11, bench-ledger).
  database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 8000");
}

function syncOf(path: string) {
  return path === ":memory:" ? undefined : createSync(`${path}-wal`);
}

/** Has what was written to a file reach the disk, at most once in a while. */
function createSync(path: string) {
  let file: FileHandle | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let syncing = Promise.resolve();
  const sync = async (): Promise<void> => {
    try {
      // SQLite keeps no lock on this file, which closing it here would drop (sqlite.org/howtocorrupt.html, 2.2).
      file ??= await openFile(path, "r+");
      await file.datasync();
    } catch {
      // A disk that fails here fails the next commit too, which says so.
    }
  };
  return {
    soon(): void {
      timer ??= setTimeout(() => {
        timer = undefined;
        syncing = syncing.then(sync);
      }, SYNC_MS).unref();
    },
    close(): void {
      clearTimeout(timer);
      void syncing.then(() => file?.close());
    },
  };
}

/** What SQLite says is wrong with the file (sqlite.org/rescode.html); undefined where it isn't the file's fault. */
function codeOf(thrown: unknown): number | undefined {
  const { errcode }: { errcode?: unknown } = Object(thrown);
  const code = typeof errcode === "number" ? errcode & 0xff : undefined;
  return code !== undefined && (LOCKED.has(code) || code === FULL || DAMAGED.has(code)) ? code : undefined;
}

/** SQLITE_BUSY, LOCKED, PROTOCOL. */
const LOCKED: ReadonlySet<number> = new Set([5, 6, 15]);
const FULL = 13;
/** SQLITE_NOMEM, READONLY, INTERRUPT, IOERR, CORRUPT, CANTOPEN, NOTADB: what opening the file anew may mend. */
const DAMAGED: ReadonlySet<number> = new Set([7, 8, 9, 10, 11, 14, 26]);

function isDamage(thrown: unknown): boolean {
  const code = codeOf(thrown);
  return code !== undefined && DAMAGED.has(code);
}

/** What an error of this file's means: another process writes, or it can't be used. */
export function faultOf(thrown: unknown): "busy" | "broken" | undefined {
  if (!(thrown instanceof ApiError)) return undefined;
  const code = codeOf(thrown.cause);
  if (code === undefined) return undefined;
  return LOCKED.has(code) ? "busy" : "broken";
}

/** What SQLite said, for the log: it names no file. */
export function reasonOf(thrown: unknown): string {
  const { cause }: { cause?: unknown } = Object(thrown);
  return cause instanceof Error ? cause.message : String(thrown);
}
