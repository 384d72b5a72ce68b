import { monthOf, startOfMonth } from "./limits.ts";
import type { Sql } from "./sql.ts";

/** An account's money, in nano-dollars. */
export interface AccountTally {
  credited: number;
  held: number;
  spent: number;
}

/** Where a part of an account stands in its limits. */
export interface ScopeTally {
  /** Holds. */
  running: number;
  held: number;
  spent: number;
  month: number;
  /** Spent in that month. */
  monthSpent: number;
  /** Unix ms at which the debts were as they are. */
  ratedAt: number;
  requestsDebt: number;
  tokensDebt: number;
}

/**
 * The sums that every request of an account changes: read once in a transaction, changed in memory, and written once at
 * its end, however many requests it is of.
 */
export interface Tallies {
  account(account: string): AccountTally;
  /** As of the month that it is at `at` (Unix ms). */
  scope(account: string, name: string, at: number): ScopeTally;
  /** Says that a tally, and so its row, is to be written. */
  changed(tally: AccountTally | ScopeTally): void;
  /** The last of a transaction. */
  write(): void;
  /** After it, also where it failed: another process may write the rows. */
  forget(): void;
}

export function createTallies(sql: Sql): Tallies {
  const accounts = new Map<string, AccountTally>();
  const scopes = new Map<string, Map<string, ScopeTally>>();
  const dirty = new Set<AccountTally | ScopeTally>();

  function spentIn(account: string, name: string, month: number): number {
    const [row] = sql.all(
      `SELECT coalesce(sum(cost), 0) AS spent FROM receipts, json_each(receipts.scopes) AS named
        WHERE account = ? AND settled_at >= ? AND settled_at < ? AND named.value = ?`,
      account,
      startOfMonth(month),
      startOfMonth(month + 1),
      name,
    );
    return Number(row?.spent ?? 0);
  }

  return {
    account(account) {
      const known = accounts.get(account);
      if (known !== undefined) return known;
      const tally = readAccount(sql, account);
      accounts.set(account, tally);
      return tally;
    },
    scope(account, name, at) {
      let named = scopes.get(account);
      if (named === undefined) {
        named = new Map();
        scopes.set(account, named);
      }
      const tally = named.get(name) ?? readScope(sql, account, name);
      named.set(name, tally);
      const month = monthOf(at);
      if (tally.month !== month) {
        // Added up anew, so that it is right even where the clock was set back into a month that was over.
        tally.monthSpent = spentIn(account, name, month);
        tally.month = month;
      }
      return tally;
    },
    changed: (tally) => void dirty.add(tally),
    write() {
      for (const [account, tally] of accounts) {
        if (!dirty.has(tally)) continue;
        const { credited, held, spent } = tally;
        sql.run("INSERT OR REPLACE INTO accounts VALUES (?, ?, ?, ?)", account, credited, held, spent);
      }
      for (const [account, named] of scopes) {
        for (const [name, tally] of named) {
          if (!dirty.has(tally)) continue;
          const { running, held, spent, month, monthSpent, ratedAt, requestsDebt, tokensDebt } = tally;
          sql.run(
            "INSERT OR REPLACE INTO scopes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            account,
            name,
            running,
            held,
            spent,
            month,
            monthSpent,
            ratedAt,
            requestsDebt,
            tokensDebt,
          );
        }
      }
    },
    forget() {
      accounts.clear();
      scopes.clear();
      dirty.clear();
    },
  };
}

export function readAccount(sql: Sql, account: string): AccountTally {
  const [row] = sql.all("SELECT credited, held, spent FROM accounts WHERE account = ?", account);
  return {
    credited: Number(row?.credited ?? 0),
    held: Number(row?.held ?? 0),
    spent: Number(row?.spent ?? 0),
  };
}

function readScope(sql: Sql, account: string, name: string): ScopeTally {
  const [row] = sql.all("SELECT * FROM scopes WHERE account = ? AND name = ?", account, name);
  return {
    running: Number(row?.running ?? 0),
    held: Number(row?.held ?? 0),
    spent: Number(row?.spent ?? 0),
    month: Number(row?.month ?? 0),
    monthSpent: Number(row?.month_spent ?? 0),
    ratedAt: Number(row?.rated_at ?? 0),
    requestsDebt: Number(row?.requests_debt ?? 0),
    tokensDebt: Number(row?.tokens_debt ?? 0),
  };
}
