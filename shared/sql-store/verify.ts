import type { Sql, SqlRow } from "./sql.ts";

/** Adds up everything that is written, as of one moment, and names what doesn't fit: one sentence each. */
export function verify(sql: Sql): readonly string[] {
  return sql.snapshot(() => CHECKS.flatMap(({ query, sentences }) => sql.all(query).flatMap(sentences)));
}

/** What finds breaches of one invariant, and says them. */
interface Check {
  readonly query: string;
  sentences(row: SqlRow): readonly string[];
}

/** At most; a broken store could have as many breaches as receipts. */
const MAX_BREACHES = 100;

const MONEY = ["credited", "held", "spent"];
const COUNTS = ["running", "held", "spent", "month_spent"];

const CHECKS: readonly Check[] = [
  {
    query: `WITH written AS (
        SELECT account, amount AS credited, 0 AS held, 0 AS spent FROM credits
        UNION ALL SELECT account, 0, amount, 0 FROM holds
        UNION ALL SELECT account, 0, 0, cost FROM receipts
      ), added AS (
        SELECT account, sum(credited) AS credited, sum(held) AS held, sum(spent) AS spent FROM written GROUP BY account
      )
      SELECT account, ${both("accounts", MONEY)} FROM accounts FULL JOIN added USING (account)
      WHERE ${differ("accounts", MONEY)} LIMIT ${MAX_BREACHES}`,
    sentences: (row) => differences(row, `Account ${row.account}`, MONEY),
  },
  {
    query: `WITH written AS (
        SELECT account, named.value AS name, 1 AS running, amount AS held, 0 AS spent, 0 AS month
        FROM holds, json_each(holds.scopes) AS named
        UNION ALL SELECT account, named.value, 0, 0, cost,
          strftime('%Y', settled_at / 1000, 'unixepoch') * 12 + strftime('%m', settled_at / 1000, 'unixepoch') - 1
        FROM receipts, json_each(receipts.scopes) AS named
      ), added AS (
        SELECT w.account, w.name, sum(w.running) AS running, sum(w.held) AS held, sum(w.spent) AS spent,
          sum(CASE WHEN w.month = s.month THEN w.spent ELSE 0 END) AS month_spent
        FROM written AS w LEFT JOIN scopes AS s ON s.account = w.account AND s.name = w.name
        GROUP BY w.account, w.name
      )
      SELECT account, name, ${both("scopes", COUNTS)}
      FROM scopes FULL JOIN added USING (account, name)
      WHERE ${differ("scopes", COUNTS)} LIMIT ${MAX_BREACHES}`,
    sentences: (row) => differences(row, `Scope ${row.name} of ${row.account}`, COUNTS),
  },
  {
    // As `costNanoUsd`: summed exactly, rounded up once.
    query: `SELECT request_id, cost, due FROM (
        SELECT request_id, cost, CASE WHEN is_free THEN 0 ELSE min(amount, (
          (prompt_tokens - min(cached_tokens, prompt_tokens)) * prompt_pico
          + min(cached_tokens, prompt_tokens) * cached_pico
          + (completion_tokens - min(reasoning_tokens, completion_tokens)) * completion_pico
          + min(reasoning_tokens, completion_tokens) * reasoning_pico + 999) / 1000) END AS due
        FROM receipts)
      WHERE cost <> due LIMIT ${MAX_BREACHES}`,
    sentences: (row) => [
      `Receipt ${row.request_id} charges ${row.cost} nano-dollars; its usage costs ${row.due}.`,
    ],
  },
  {
    query: `SELECT request_id FROM holds JOIN receipts USING (account, request_id) LIMIT ${MAX_BREACHES}`,
    sentences: (row) => [`Request ${row.request_id} has a receipt and is still held.`],
  },
  {
    query: `SELECT request_id, count(*) AS accounts
      FROM (SELECT account, request_id FROM holds UNION SELECT account, request_id FROM receipts)
      GROUP BY request_id HAVING count(*) > 1 LIMIT ${MAX_BREACHES}`,
    sentences: (row) => [`Request ${row.request_id} is in ${row.accounts} accounts.`],
  },
  {
    // Nothing can be proved of an account that once paid later.
    query: `SELECT account, credited - held - spent AS available FROM accounts AS a WHERE credited - held - spent < 0
        AND NOT EXISTS (SELECT 1 FROM holds WHERE account = a.account AND NOT is_prepaid)
        AND NOT EXISTS (SELECT 1 FROM receipts WHERE account = a.account AND NOT is_prepaid)
      LIMIT ${MAX_BREACHES}`,
    sentences: (row) => [
      `Account ${row.account} is prepaid and has ${row.available} nano-dollars available.`,
    ],
  },
  {
    query: `SELECT request_id FROM deliveries AS d WHERE NOT EXISTS
      (SELECT 1 FROM receipts WHERE account = d.account AND request_id = d.request_id) LIMIT ${MAX_BREACHES}`,
    sentences: (row) => [`A webhook is to be told of request ${row.request_id}, which has no receipt.`],
  },
];

/** What the row says, and what its entries add up to. */
function both(table: string, columns: readonly string[]): string {
  return columns
    .map(
      (column) =>
        `coalesce(${table}.${column}, 0) AS ${column}, coalesce(added.${column}, 0) AS added_${column}`,
    )
    .join(", ");
}

function differ(table: string, columns: readonly string[]): string {
  return columns
    .map((column) => `coalesce(${table}.${column}, 0) <> coalesce(added.${column}, 0)`)
    .join(" OR ");
}

function differences(row: SqlRow, whose: string, columns: readonly string[]): readonly string[] {
  return columns
    .filter((column) => row[column] !== row[`added_${column}`])
    .map(
      (column) =>
        `${whose} says ${column.replace("_", " ")} ${row[column]}; its entries add up to ${row[`added_${column}`]}.`,
    );
}
