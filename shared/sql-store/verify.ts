import { costNanoUsd } from "../pricing.ts";
import { monthOf } from "./limits.ts";
import { readHold, readReceipt, readReceiptRow } from "./rows.ts";
import type { Sql } from "./sql.ts";

interface Sums {
  held: number;
  running: number;
  spent: number;
  readonly byMonth: Map<number, number>;
}

/** Adds up everything that is written, and names what doesn't fit: one sentence each. */
export function verify(sql: Sql): readonly string[] {
  const problems: string[] = [];
  const accounts = new Map<string, Sums>();
  const scopes = new Map<string, Sums>();
  const sumsIn = (map: Map<string, Sums>, key: string): Sums => {
    const sums = map.get(key) ?? { held: 0, running: 0, spent: 0, byMonth: new Map() };
    map.set(key, sums);
    return sums;
  };

  for (const row of sql.all("SELECT * FROM holds")) {
    const hold = readHold(row);
    const all = [
      sumsIn(accounts, hold.account),
      ...hold.scopes.map(({ name }) => sumsIn(scopes, `${hold.account} ${name}`)),
    ];
    for (const sums of all) {
      sums.held += hold.amount;
      sums.running++;
    }
  }
  for (let last = ""; ; ) {
    const rows = sql.all("SELECT * FROM receipts WHERE request_id > ? ORDER BY request_id LIMIT 1000", last);
    for (const row of rows) {
      const { requestId, account, price, usage, costNanoUsd: cost, isFree, settledAt } = readReceipt(row);
      const { amount, scopes: names } = readReceiptRow(row);
      const right = isFree ? 0 : Math.min(costNanoUsd(price, usage), amount);
      if (cost !== right)
        problems.push(`Receipt ${requestId} charges ${cost} nano-dollars; its usage costs ${right}.`);
      for (const sums of [
        sumsIn(accounts, account),
        ...names.map((name) => sumsIn(scopes, `${account} ${name}`)),
      ]) {
        sums.spent += cost;
        const month = monthOf(settledAt);
        sums.byMonth.set(month, (sums.byMonth.get(month) ?? 0) + cost);
      }
      last = requestId;
    }
    if (rows.length < 1000) break;
  }
  for (const row of sql.all("SELECT r.request_id FROM receipts r JOIN holds h USING (request_id)"))
    problems.push(`Request ${row.request_id} has a receipt and is still held.`);

  const credited = new Map(
    sql
      .all("SELECT account, sum(amount) AS amount FROM credits GROUP BY account")
      .map((row) => [String(row.account), Number(row.amount)]),
  );
  const written = new Map(sql.all("SELECT * FROM accounts").map((row) => [String(row.account), row]));
  for (const account of new Set([...written.keys(), ...accounts.keys(), ...credited.keys()])) {
    const row = written.get(account);
    const { held, spent } = sumsIn(accounts, account);
    const expected = { credited: credited.get(account) ?? 0, held, spent };
    for (const [what, right] of Object.entries(expected)) {
      const found = Number(row?.[what] ?? 0);
      if (found !== right)
        problems.push(`Account ${account} says ${what} ${found}; its entries add up to ${right}.`);
    }
  }
  for (const row of sql.all("SELECT * FROM scopes")) {
    const { held, running, spent, byMonth } = sumsIn(scopes, `${row.account} ${row.name}`);
    const expected = { held, running, spent, month_spent: byMonth.get(Number(row.month)) ?? 0 };
    for (const [what, right] of Object.entries(expected)) {
      const found = Number(row[what]);
      if (found !== right)
        problems.push(
          `Scope ${row.name} of ${row.account} says ${what} ${found}; its entries add up to ${right}.`,
        );
    }
  }
  return problems;
}
