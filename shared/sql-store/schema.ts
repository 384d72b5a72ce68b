import type { Sql } from "./sql.ts";

/** One step a version; a step that shipped is never changed. */
const STEPS: readonly (readonly string[])[] = [
  [
    `CREATE TABLE accounts (account TEXT PRIMARY KEY, credited INTEGER NOT NULL DEFAULT 0,
      held INTEGER NOT NULL DEFAULT 0, spent INTEGER NOT NULL DEFAULT 0)`,
    `CREATE TABLE credits (account TEXT NOT NULL, id TEXT NOT NULL, amount INTEGER NOT NULL, at INTEGER NOT NULL,
      PRIMARY KEY (account, id)) WITHOUT ROWID`,
    `CREATE TABLE scopes (account TEXT NOT NULL, name TEXT NOT NULL,
      requests_full_at INTEGER NOT NULL DEFAULT 0, tokens_full_at INTEGER NOT NULL DEFAULT 0,
      running INTEGER NOT NULL DEFAULT 0, held INTEGER NOT NULL DEFAULT 0, spent INTEGER NOT NULL DEFAULT 0,
      month INTEGER NOT NULL DEFAULT 0, month_spent INTEGER NOT NULL DEFAULT 0,
      PRIMARY KEY (account, name)) WITHOUT ROWID`,
    `CREATE TABLE holds (request_id TEXT PRIMARY KEY, account TEXT NOT NULL, key_id TEXT, route TEXT NOT NULL,
      model TEXT NOT NULL, price TEXT NOT NULL, amount INTEGER NOT NULL, tokens INTEGER NOT NULL,
      scopes TEXT NOT NULL, lease_ms INTEGER NOT NULL, held_at INTEGER NOT NULL, expires_at INTEGER NOT NULL,
      usage TEXT, source TEXT) WITHOUT ROWID`,
    "CREATE INDEX holds_by_expiry ON holds (expires_at)",
    `CREATE TABLE receipts (request_id TEXT PRIMARY KEY, account TEXT NOT NULL, key_id TEXT, route TEXT NOT NULL,
      model TEXT NOT NULL, price TEXT NOT NULL, amount INTEGER NOT NULL, cost INTEGER NOT NULL,
      prompt_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
      reasoning_tokens INTEGER NOT NULL, source TEXT NOT NULL, outcome TEXT NOT NULL, backend TEXT,
      engine TEXT NOT NULL, ttft_ms INTEGER, duration_ms INTEGER NOT NULL, is_free INTEGER NOT NULL,
      scopes TEXT NOT NULL, held_at INTEGER NOT NULL, settled_at INTEGER NOT NULL) WITHOUT ROWID`,
    "CREATE INDEX receipts_by_time ON receipts (settled_at, request_id)",
    "CREATE INDEX receipts_by_account ON receipts (account, settled_at, request_id)",
    `CREATE TABLE deliveries (webhook TEXT NOT NULL, request_id TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
      due_at INTEGER, PRIMARY KEY (webhook, request_id)) WITHOUT ROWID`,
    "CREATE INDEX deliveries_by_due ON deliveries (due_at)",
    "CREATE TABLE account_records (id TEXT PRIMARY KEY, record TEXT NOT NULL, created_at INTEGER NOT NULL) WITHOUT ROWID",
    `CREATE TABLE keys (id TEXT PRIMARY KEY, sha256 TEXT NOT NULL UNIQUE, account TEXT NOT NULL, record TEXT NOT NULL,
      created_at INTEGER NOT NULL, revoked_at INTEGER) WITHOUT ROWID`,
  ],
];

/** Brings the database to this version, in one transaction. Throws where a later version wrote it. */
export function migrate(sql: Sql): void {
  sql.run("CREATE TABLE IF NOT EXISTS sluice_version (version INTEGER NOT NULL)");
  sql.transaction(() => {
    const version = Number(sql.all("SELECT version FROM sluice_version")[0]?.version ?? 0);
    if (version > STEPS.length)
      throw new Error(
        `The ledger was written by a later version of Sluice (${version}); this one knows ${STEPS.length}.`,
      );
    if (version === STEPS.length) return;
    for (const step of STEPS.slice(version)) for (const statement of step) sql.run(statement);
    sql.run("DELETE FROM sluice_version");
    sql.run("INSERT INTO sluice_version VALUES (?)", STEPS.length);
  });
}
