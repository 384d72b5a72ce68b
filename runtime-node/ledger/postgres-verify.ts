import type { Sql } from "./postgres-pool.ts";

/** One sentence for each invariant of the books that doesn't hold, as of one snapshot of all tables. */
export async function findBreaches(sql: Sql): Promise<readonly string[]> {
  const rows = await sql<{ breach: string }[]>`
    WITH written AS (
      SELECT account, amount AS credited, 0 AS held, 0 AS spent FROM credits
      UNION ALL SELECT account, 0, amount, 0 FROM holds
      UNION ALL SELECT account, 0, 0, cost FROM receipts
    ), accounts_right AS (
      SELECT account, sum(credited) AS credited, sum(held) AS held, sum(spent) AS spent FROM written GROUP BY 1
    ), scopes_written AS (
      SELECT account, scope->>'name' AS name, amount AS held, 1 AS holds, 0 AS spent, 0 AS month
      FROM holds CROSS JOIN jsonb_array_elements(scopes) AS scope
      UNION ALL
      SELECT account, name, 0, 0, cost, month_1(settled_at)
      FROM receipts CROSS JOIN jsonb_array_elements_text(scopes) AS name
    ), scopes_right AS (
      SELECT account, name, sum(w.held) AS held, sum(w.holds) AS holds, sum(w.spent) AS spent,
        coalesce(sum(w.spent) FILTER (WHERE w.month = s.month), 0) AS spent_in_month
      FROM scopes_written w LEFT JOIN scopes s USING (account, name) GROUP BY 1, 2
    ), receipts_right AS (
      SELECT request_id, cost, CASE WHEN is_free THEN 0 ELSE least(held,
        cost_1(price, prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens)) END AS due
      FROM receipts
    )
    SELECT format('Account %s says %s %s; its entries add up to %s.', account, what, says, adds) AS breach
    FROM balances b FULL JOIN accounts_right r USING (account)
    CROSS JOIN LATERAL (VALUES
      ('credited', coalesce(b.credited, 0), coalesce(r.credited, 0)),
      ('held', coalesce(b.held, 0), coalesce(r.held, 0)),
      ('spent', coalesce(b.spent, 0), coalesce(r.spent, 0))
    ) AS checked (what, says, adds) WHERE says <> adds
    UNION ALL
    SELECT format('Scope %s of %s says %s %s; its entries add up to %s.', name, account, what, says, adds)
    FROM scopes s FULL JOIN scopes_right r USING (account, name)
    CROSS JOIN LATERAL (VALUES
      ('held', coalesce(s.held, 0), coalesce(r.held, 0)),
      ('holds', coalesce(s.holds, 0), coalesce(r.holds, 0)),
      ('spent', coalesce(s.spent, 0), coalesce(r.spent, 0)),
      ('spent in the month', coalesce(s.spent_in_month, 0), coalesce(r.spent_in_month, 0))
    ) AS checked (what, says, adds) WHERE says <> adds
    UNION ALL
    SELECT format('Receipt %s charges %s nano-dollars; its usage costs %s.', request_id, cost, due)
    FROM receipts_right WHERE cost <> due
    UNION ALL
    SELECT format('Request %s has a receipt and is still held.', request_id)
    FROM receipts JOIN holds USING (account, request_id)
    UNION ALL
    SELECT format('Request %s is in %s accounts.', request_id, count(*))
    FROM (SELECT account, request_id FROM holds UNION SELECT account, request_id FROM receipts) AS requests
    GROUP BY request_id HAVING count(*) > 1`;
  return rows.map(({ breach }) => breach);
}
