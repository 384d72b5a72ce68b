import type { Sql } from "./sql.ts";

/** When the first lease runs out or the first delivery is due (Unix ms); null where nothing waits. */
export function earliestDue(sql: Sql): number | null {
  const [row] = sql.all(
    `SELECT min(at) AS at FROM
      (SELECT min(expires_at) AS at FROM holds UNION ALL SELECT min(due_at) FROM deliveries)`,
  );
  return typeof row?.at === "number" ? row.at : null;
}
