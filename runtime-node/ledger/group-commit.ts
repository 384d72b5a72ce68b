import type { Log } from "../../functions/deps.ts";
import type { Transaction, Write, WriteKind } from "../../shared/sql-store/store.ts";
import { reasonOf } from "./sqlite-file.ts";

export interface GroupCommitOptions {
  readonly transaction: Transaction;
  /** Whether what was thrown is the store's fault (a full disk), not the call's; `busy`: another process writes. */
  readonly faultOf: (thrown: unknown) => "busy" | "broken" | undefined;
  readonly log: Log;
}

export interface GroupCommit {
  readonly write: Write;
  /** Writes what waits, if it can be written; after it, nothing may be asked. */
  close(): void;
}

interface Pending {
  readonly kind: WriteKind;
  /** By the monotonic clock. */
  readonly askedAt: number;
  /** Within the transaction; what it made is kept until the commit. */
  run(): void;
  committed(): void;
  failed(reason: unknown): void;
}

/** How long a call waits for another process that writes: `sluice keys` takes milliseconds. */
const PATIENCE_MS = 2000;
const BUSY_RETRY_MS = 20;
const OWED_RETRY_MS = 1000;
/** What may be owed, some 10 MB; beyond it, a request's lease runs out and a sweep settles it. */
const MAX_OWED = 10_000;

/**
 * Writes all that is asked in one turn of the event loop in one transaction: one commit, however many ask. Nobody is
 * answered before it. While the store can't be written, calls are refused, but what is owed is kept and written as soon
 * as it can be, before anything that was asked later.
 */
export function createGroupCommit({ transaction, faultOf, log }: GroupCommitOptions): GroupCommit {
  let pending: Pending[] = [];
  let owed: Pending[] = [];
  let isScheduled = false;
  let timer: ReturnType<typeof setTimeout> | undefined;

  function schedule(): void {
    if (isScheduled) return;
    isScheduled = true;
    setImmediate(flush);
  }

  function retryIn(ms: number): void {
    timer ??= setTimeout(flush, ms);
  }

  function flush(): void {
    isScheduled = false;
    clearTimeout(timer);
    timer = undefined;
    const [late, batch] = [owed, pending];
    [owed, pending] = [[], []];
    if (late.length + batch.length > 0) commit([...late, ...batch]);
    if (late.length > 0 && owed.length === 0) log.info("the ledger is written again", { owed: late.length });
  }

  function commit(batch: readonly Pending[]): void {
    try {
      transaction(() => {
        for (const each of batch) each.run();
      });
    } catch (thrown) {
      const fault = faultOf(thrown);
      // Where a call is at fault itself, it fails alone: all was undone, and each is done again by itself.
      if (fault === undefined && batch.length > 1) for (const each of batch) commit([each]);
      else for (const each of batch) unwritten(each, thrown, fault);
      return;
    }
    for (const each of batch) each.committed();
  }

  function unwritten(each: Pending, reason: unknown, fault: ReturnType<typeof faultOf>): void {
    if (fault === "busy" && performance.now() - each.askedAt < PATIENCE_MS) {
      pending.push(each);
      retryIn(BUSY_RETRY_MS);
      return;
    }
    if (fault !== undefined && each.kind === "owed") keep(each, reason);
    each.failed(reason);
  }

  function keep(each: Pending, reason: unknown): void {
    if (owed.length === 0) log.error("the ledger can't be written", { reason: reasonOf(reason) });
    if (owed.length === MAX_OWED) log.error("too much waits for the ledger: leases will run out");
    if (owed.length >= MAX_OWED) return;
    owed.push(each);
    retryIn(OWED_RETRY_MS);
  }

  return {
    write: (work, kind) =>
      new Promise((resolve, reject) => {
        let made: { readonly value: ReturnType<typeof work> } | undefined;
        pending.push({
          kind,
          askedAt: performance.now(),
          run() {
            made = { value: work() };
          },
          committed() {
            if (made !== undefined) resolve(made.value);
          },
          failed: reject,
        });
        schedule();
      }),
    close() {
      flush();
      clearTimeout(timer);
      const unwrittenCalls = owed.length + pending.length;
      if (unwrittenCalls > 0)
        log.error("closed while the ledger can't be written: leases will run out", { calls: unwrittenCalls });
      for (const each of pending) each.failed(new Error("The ledger was closed before it could be written"));
    },
  };
}
