import type { Log } from "../../functions/deps.ts";
import type { Write, WriteKind } from "../../shared/sql-store/store.ts";

export interface GroupCommitOptions {
  /** All of the work or nothing; may be nested. */
  readonly transaction: <T>(work: () => T) => T;
  /** Whether what was thrown is the store's fault (a full disk), not the call's. */
  readonly isFault: (thrown: unknown) => boolean;
  /** What a caller is told then. */
  readonly refusal: (cause: unknown) => Error;
  readonly log: Log;
}

export interface GroupCommit {
  readonly write: Write;
  /** Writes what is owed if it can be written; after it, nothing may be asked. */
  close(): Promise<void>;
}

interface Pending {
  readonly kind: WriteKind;
  /** Runs it in the transaction that is open; what it made is kept until the commit. */
  run(): void;
  committed(): void;
  failed(reason: unknown): void;
}

/** Settles that wait for a disk that can be written; beyond it their bills are lost, and the log says so. */
const MAX_OWED = 100_000;
const RETRY_MS = 1000;

/** Writes all that is asked in one turn of the event loop in one transaction: one wait for the disk, however many ask. */
export function createGroupCommit({ transaction, isFault, refusal, log }: GroupCommitOptions): GroupCommit {
  let pending: Pending[] = [];
  let owed: Pending[] = [];
  let isScheduled = false;
  let retry: ReturnType<typeof setTimeout> | undefined;

  /** In one commit; a call that throws by its own fault is undone alone. Throws where the store can't be written. */
  function commit(batch: readonly Pending[]): void {
    const ends: (() => void)[] = [];
    transaction(() => {
      for (const each of batch) {
        try {
          transaction(() => each.run());
          ends.push(() => each.committed());
        } catch (thrown) {
          if (isFault(thrown)) throw thrown;
          ends.push(() => each.failed(thrown));
        }
      }
    });
    for (const end of ends) end();
  }

  function flush(): void {
    isScheduled = false;
    const batch = pending;
    pending = [];
    try {
      commit(batch);
    } catch (cause) {
      for (const each of batch) {
        if (each.kind === "owed") keep(each);
        each.failed(refusal(cause));
      }
    }
  }

  function keep(each: Pending): void {
    if (owed.length >= MAX_OWED) {
      log.error("a bill is lost: too many wait to be written");
      return;
    }
    if (owed.length === 0) log.error("the ledger can't be written; bills are kept in memory until it can");
    owed.push(each);
    retry ??= setTimeout(writeOwed, RETRY_MS).unref();
  }

  function writeOwed(): void {
    retry = undefined;
    const batch = owed;
    owed = [];
    try {
      if (batch.length > 0) commit(batch);
      log.info("the ledger is written again", { bills: batch.length });
    } catch {
      owed = batch; // Still not; said before.
      retry = setTimeout(writeOwed, RETRY_MS).unref();
    }
  }

  return {
    write: (work, kind) =>
      new Promise((resolve, reject) => {
        let made: { readonly value: Awaited<ReturnType<typeof work>> } | undefined;
        pending.push({
          kind,
          run() {
            made = { value: work() as Awaited<ReturnType<typeof work>> }; // Work is synchronous.
          },
          committed() {
            if (made !== undefined) resolve(made.value);
          },
          failed: reject,
        });
        if (isScheduled) return;
        isScheduled = true;
        setImmediate(flush);
      }),
    async close() {
      if (isScheduled) flush();
      clearTimeout(retry);
      if (owed.length > 0) writeOwed();
      clearTimeout(retry);
      if (owed.length > 0) log.error("bills could not be written and are lost", { bills: owed.length });
    },
  };
}
