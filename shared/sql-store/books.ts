import type {
  Delivery,
  ReceiptFilter,
  ReceiptPage,
  ReceiptQuery,
  TotalsQuery,
  UsageTotal,
} from "../books.ts";
import type { Receipt, RequestRef } from "../ledger.ts";
import { invalidRequest } from "../openai/errors.ts";
import { readReceipt } from "./rows.ts";
import type { Sql, SqlValue } from "./sql.ts";
import { verify } from "./verify.ts";

/** `Books`, synchronously; what writes runs within a transaction. */
export interface SqlBooks {
  accounts(): readonly string[];
  receipt(ref: RequestRef): Receipt | undefined;
  receipts(query: ReceiptQuery): ReceiptPage;
  totals(query: TotalsQuery): readonly UsageTotal[];
  due(now: number, limit: number): readonly Delivery[];
  delivered(delivery: Delivery): void;
  postpone(delivery: Delivery, at: number | null): void;
  verify(): readonly string[];
}

const GROUPS = { account: "account", key: "key_id", model: "model" } as const;

export function createSqlBooks(sql: Sql): SqlBooks {
  function forget(delivery: Delivery): void {
    sql.run(
      "DELETE FROM deliveries WHERE webhook = ? AND account = ? AND request_id = ?",
      ...placeOf(delivery),
    );
  }

  return {
    accounts: () =>
      sql
        .all(
          // One whose only hold was voided has a row, and nothing in it.
          `SELECT account FROM accounts AS a WHERE EXISTS (SELECT 1 FROM credits WHERE account = a.account)
            OR EXISTS (SELECT 1 FROM holds WHERE account = a.account)
            OR EXISTS (SELECT 1 FROM receipts WHERE account = a.account) ORDER BY account`,
        )
        .map((row) => String(row.account)),
    receipt: (ref) => findReceipt(sql, ref),
    receipts({ after, limit, ...filter }) {
      const { where, values } = whereOf(filter);
      const [settledAt, requestId] = after === undefined ? [undefined, ""] : splitCursor(after);
      const from = settledAt === undefined ? "" : " AND (settled_at, request_id) > (?, ?)";
      const start = settledAt === undefined ? [] : [settledAt, requestId];
      const rows = sql.all(
        `SELECT * FROM receipts WHERE ${where}${from} ORDER BY settled_at, request_id LIMIT ?`,
        ...values,
        ...start,
        limit + 1,
      );
      const receipts = rows.slice(0, limit).map(readReceipt);
      const last = receipts.at(-1);
      return { receipts, next: rows.length > limit && last !== undefined ? cursorOf(last) : null };
    },
    totals({ bucketMs, groupBy, routes, ...filter }) {
      const { where, values } = whereOf(filter);
      const columns = groupBy.map((group) => GROUPS[group]);
      const selected = columns.map((column) => `, ${column}`).join("");
      const ofRoutes = routes === undefined ? "" : ` AND route IN (${routes.map(() => "?").join(", ")})`;
      // Not by a division: a Durable Object binds numbers as floating point, which it would not round down.
      const rows = sql.all(
        `SELECT settled_at - settled_at % ? AS start${selected}, count(*) AS requests, sum(prompt_tokens) AS prompt,
          sum(cached_tokens) AS cached, sum(completion_tokens) AS completion, sum(reasoning_tokens) AS reasoning,
          sum(cost) AS cost FROM receipts WHERE ${where}${ofRoutes} GROUP BY start${selected} ORDER BY start${selected}`,
        bucketMs,
        ...values,
        ...(routes ?? []),
      );
      return rows.map((row) => ({
        start: Number(row.start),
        ...(groupBy.includes("account") ? { account: String(row.account) } : {}),
        ...(groupBy.includes("key") ? { keyId: row.key_id === null ? null : String(row.key_id) } : {}),
        ...(groupBy.includes("model") ? { model: String(row.model) } : {}),
        requests: Number(row.requests),
        usage: {
          promptTokens: Number(row.prompt),
          cachedTokens: Number(row.cached),
          completionTokens: Number(row.completion),
          reasoningTokens: Number(row.reasoning),
        },
        costNanoUsd: Number(row.cost),
      }));
    },
    due: (now, limit) =>
      sql
        .all(
          `SELECT deliveries.webhook, deliveries.attempts, receipts.* FROM deliveries
            JOIN receipts USING (account, request_id) WHERE due_at <= ? ORDER BY due_at, request_id, webhook LIMIT ?`,
          now,
          limit,
        )
        .map((row) => ({
          webhook: String(row.webhook),
          attempts: Number(row.attempts),
          receipt: readReceipt(row),
        })),
    delivered: forget,
    postpone(delivery, at) {
      if (at === null) return forget(delivery);
      sql.run(
        "UPDATE deliveries SET attempts = attempts + 1, due_at = ? WHERE webhook = ? AND account = ? AND request_id = ?",
        at,
        ...placeOf(delivery),
      );
    },
    verify: () => verify(sql),
  };
}

export function findReceipt(sql: Sql, { account, requestId }: RequestRef): Receipt | undefined {
  const [row] = sql.all("SELECT * FROM receipts WHERE account = ? AND request_id = ?", account, requestId);
  return row && readReceipt(row);
}

function placeOf({ webhook, receipt: { account, requestId } }: Delivery) {
  return [webhook, account, requestId] as const;
}

function whereOf({ account, keyId, model, from, to }: ReceiptFilter): {
  readonly where: string;
  readonly values: readonly SqlValue[];
} {
  const parts: readonly (readonly [string, SqlValue | undefined])[] = [
    ["account = ?", account],
    ["key_id = ?", keyId],
    ["model = ?", model],
    ["settled_at >= ?", from],
    ["settled_at < ?", to],
  ];
  const asked = parts.flatMap(([part, value]) => (value === undefined ? [] : [{ part, value }]));
  return {
    where: asked.length === 0 ? "1" : asked.map(({ part }) => part).join(" AND "),
    values: asked.map(({ value }) => value),
  };
}

/** Where a page ends: the next begins behind it, whatever is settled meanwhile. */
export function cursorOf({ settledAt, requestId }: Receipt): string {
  return `${settledAt}:${requestId}`;
}

function splitCursor(cursor: string): readonly [number, string] {
  const [, settledAt, requestId] = cursor.match(/^(\d{1,15}):(.+)$/) ?? [];
  if (settledAt === undefined || requestId === undefined)
    throw invalidRequest("`after` is no place in this list; use the last page's `next`.", "after");
  return [Number(settledAt), requestId];
}
