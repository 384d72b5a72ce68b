import type { Books, Delivery, ReceiptFilter, UsageTotal } from "../../shared/books.ts";
import type { Receipt } from "../../shared/ledger.ts";
import { invalidRequest } from "../../shared/openai/errors.ts";
import type { Usage } from "../../shared/openai/usage.ts";
import type { Pool, Sql } from "./postgres-pool.ts";
import { findBreaches } from "./postgres-verify.ts";

/** How long a host that took deliveries has for them before another one takes them over. */
const TAKEN_MS = 60_000;

/** What the ledger wrote into Postgres. `webhooks`: the ids of those that are told now. */
export function createPostgresBooks({ run }: Pool, webhooks: readonly string[]): Books {
  const host = crypto.randomUUID();
  return {
    accounts: () =>
      run(async (sql) => {
        const rows = await sql<{ account: string }[]>`
          SELECT account FROM balances b
          WHERE EXISTS (SELECT FROM credits WHERE account = b.account)
            OR EXISTS (SELECT FROM holds WHERE account = b.account)
            OR EXISTS (SELECT FROM receipts WHERE account = b.account)
          ORDER BY account`;
        return rows.map(({ account }) => account);
      }),
    receipt: ({ account, requestId }) =>
      run(async (sql) => {
        const [row] = await sql<{ receipt: Receipt | null }[]>`
          SELECT receipt_1(${account}, ${requestId}) AS receipt`;
        return row?.receipt ?? undefined;
      }),
    receipts: ({ after, limit, ...filter }) =>
      run(async (sql) => {
        const rows = await sql<{ receipt: Receipt }[]>`
          SELECT receipt_1(account, request_id) AS receipt FROM receipts
          WHERE ${matches(sql, filter)} ${after === undefined ? sql`` : isAfter(sql, after)}
          ORDER BY settled_at, request_id LIMIT ${limit + 1}`;
        const receipts = rows.slice(0, limit).map(({ receipt }) => receipt);
        const last = receipts.at(-1);
        return {
          receipts,
          next: rows.length > limit && last !== undefined ? `${last.settledAt}.${last.requestId}` : null,
        };
      }),
    totals: ({ bucketMs, routes, groupBy, ...filter }) =>
      run(async (sql) => {
        const isBy = (group: "account" | "key" | "model") => groupBy.includes(group);
        const rows = await sql<TotalRow[]>`
          SELECT
            settled_at / ${bucketMs}::bigint * ${bucketMs}::bigint AS start,
            CASE WHEN ${isBy("account")}::boolean THEN account END AS account,
            CASE WHEN ${isBy("key")}::boolean THEN key_id END AS key_id,
            CASE WHEN ${isBy("model")}::boolean THEN model END AS model,
            count(*) AS requests, sum(cost)::bigint AS cost,
            sum(prompt_tokens)::bigint AS prompt, sum(cached_tokens)::bigint AS cached,
            sum(completion_tokens)::bigint AS completion, sum(reasoning_tokens)::bigint AS reasoning
          FROM receipts
          WHERE ${matches(sql, filter)} ${routes === undefined ? sql`` : sql`AND route IN ${sql(routes)}`}
          GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4`;
        return rows.map(
          (row): UsageTotal => ({
            start: row.start,
            ...(isBy("account") && row.account !== null ? { account: row.account } : {}),
            ...(isBy("key") ? { keyId: row.key_id } : {}),
            ...(isBy("model") && row.model !== null ? { model: row.model } : {}),
            requests: row.requests,
            usage: usageOf(row),
            costNanoUsd: row.cost,
          }),
        );
      }),
    due: (now, limit) =>
      run(async (sql) => {
        if (webhooks.length === 0) return [];
        // Taken for a while: a second host finds none of them, and they are told of once.
        const rows = await sql<Delivery[]>`
          WITH taken AS (
            UPDATE deliveries SET taken_by = ${host}, taken_until = ${now + TAKEN_MS}
            WHERE (webhook, account, request_id) IN (
              SELECT webhook, account, request_id FROM deliveries
              WHERE due_at <= ${now} AND webhook IN ${sql(webhooks)}
                AND (taken_until <= ${now} OR taken_by = ${host})
              ORDER BY due_at, request_id, webhook LIMIT ${limit} FOR UPDATE SKIP LOCKED
            )
            RETURNING *
          )
          SELECT webhook, receipt_1(account, request_id) AS receipt, attempts FROM taken
          ORDER BY due_at, request_id, webhook`;
        return [...rows];
      }),
    delivered: ({ webhook, receipt }) =>
      run(async (sql) => {
        await sql`DELETE FROM deliveries WHERE ${isDelivery(sql, webhook, receipt)}`;
      }),
    postpone: ({ webhook, receipt }, at) =>
      run(async (sql) => {
        if (at === null) await sql`DELETE FROM deliveries WHERE ${isDelivery(sql, webhook, receipt)}`;
        else
          await sql`
            UPDATE deliveries SET due_at = ${at}, attempts = attempts + 1, taken_until = 0
            WHERE ${isDelivery(sql, webhook, receipt)}`;
      }),
    verify: () => run(findBreaches),
  };
}

interface TotalRow {
  readonly start: number;
  readonly account: string | null;
  readonly key_id: string | null;
  readonly model: string | null;
  readonly requests: number;
  readonly cost: number;
  readonly prompt: number;
  readonly cached: number;
  readonly completion: number;
  readonly reasoning: number;
}

function matches(sql: Sql, { account, keyId, model, from, to }: ReceiptFilter) {
  return sql`true
    ${account === undefined ? sql`` : sql`AND account = ${account}`}
    ${keyId === undefined ? sql`` : sql`AND key_id = ${keyId}`}
    ${model === undefined ? sql`` : sql`AND model = ${model}`}
    ${from === undefined ? sql`` : sql`AND settled_at >= ${from}`}
    ${to === undefined ? sql`` : sql`AND settled_at < ${to}`}`;
}

function isAfter(sql: Sql, after: string) {
  const place = after.match(/^(\d{1,15})\.(.+)$/);
  if (place === null)
    throw invalidRequest("`after` is no place in this list; use the last page's `next`.", "after");
  const [, settledAt = "", requestId = ""] = place;
  return sql`AND (settled_at, request_id) > (${settledAt}::text::bigint, ${requestId})`;
}

function isDelivery(sql: Sql, webhook: string, { account, requestId }: Receipt) {
  return sql`webhook = ${webhook} AND account = ${account} AND request_id = ${requestId}`;
}

function usageOf(row: TotalRow): Usage {
  return {
    promptTokens: row.prompt,
    cachedTokens: row.cached,
    completionTokens: row.completion,
    reasoningTokens: row.reasoning,
  };
}
