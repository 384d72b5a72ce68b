import type { Store } from "../store.ts";
import { createSqlBooks } from "./books.ts";
import { createSqlDirectory } from "./directory.ts";
import { createSqlLedger, type SqlLedgerOptions } from "./ledger.ts";
import { migrate } from "./schema.ts";
import type { Sql } from "./sql.ts";
import { createTallies } from "./tallies.ts";

/** How a call that writes is run: at once and alone, or together with others, within a `Transaction`. */
export type Write = <T>(work: () => T, kind: WriteKind) => Promise<T>;
/** What must not be lost, and what its caller may simply be refused. */
export type WriteKind = "owed" | "refusable";
/** Commits what all calls in `work` have written, or nothing of it where it throws. Never within another one. */
export type Transaction = <T>(work: () => T) => T;

export interface SqlStoreOptions extends SqlLedgerOptions {
  /** Each call in a transaction of its own, at once, when left out. */
  readonly createWrite?: (transaction: Transaction) => Write;
  readonly close?: () => Promise<void>;
}

/** A store in a SQLite database, brought to this version first. One database may serve any number of accounts. */
export function createSqlStore(sql: Sql, options: SqlStoreOptions): Store {
  migrate(sql);
  const tallies = createTallies(sql);
  const transaction: Transaction = (work) => {
    try {
      return sql.transaction(() => {
        const result = work();
        tallies.write();
        return result;
      });
    } finally {
      tallies.forget();
    }
  };
  const { createWrite = () => async (work) => transaction(work), close = async () => {} } = options;
  const write = createWrite(transaction);
  const ledger = createSqlLedger(sql, tallies, options);
  const books = createSqlBooks(sql);
  const directory = createSqlDirectory(sql);
  return {
    ledger: {
      hold: (hold) => write(() => ledger.hold(hold), "refusable"),
      // Owed: without it, the first sweep after an outage would take a stream that still runs for lost.
      checkpoint: (ref, reading) => write(() => ledger.checkpoint(ref, reading), "owed"),
      settle: (ref, settlement) => write(() => ledger.settle(ref, settlement), "owed"),
      void: (ref) => write(() => ledger.void(ref), "owed"),
      sweep: (now) => write(() => ledger.sweep(now), "refusable"),
      credit: (account, credit) => write(() => ledger.credit(account, credit), "refusable"),
      balance: async (account) => ledger.balance(account),
    },
    books: {
      accounts: async () => books.accounts(),
      receipt: async (ref) => books.receipt(ref),
      receipts: async (query) => books.receipts(query),
      totals: async (query) => books.totals(query),
      due: async (now, limit) => books.due(now, limit),
      delivered: (delivery) => write(() => books.delivered(delivery), "refusable"),
      postpone: (delivery, at) => write(() => books.postpone(delivery, at), "refusable"),
      verify: async () => books.verify(),
    },
    directory: {
      findKey: async (sha256) => directory.findKey(sha256),
      createKey: (key) => write(() => directory.createKey(key), "refusable"),
      revokeKey: (id, at) => write(() => directory.revokeKey(id, at), "refusable"),
      keys: async (account) => directory.keys(account),
      account: async (id) => directory.account(id),
      putAccount: (account) => write(() => directory.putAccount(account), "refusable"),
      accounts: async () => directory.accounts(),
    },
    isDistant: false,
    close,
  };
}
