import type { Sql } from "./sql.ts";

/** One step a version; a step that shipped is never changed. */
const STEPS: readonly (readonly string[])[] = [
  [
    `CREATE TABLE accounts (account TEXT PRIMARY KEY, credited INTEGER NOT NULL, held INTEGER NOT NULL,
      spent INTEGER NOT NULL, CHECK (held >= 0 AND spent >= 0)) STRICT, WITHOUT ROWID`,
    `CREATE TABLE credits (account TEXT NOT NULL, id TEXT NOT NULL, amount INTEGER NOT NULL, at INTEGER NOT NULL,
      PRIMARY KEY (account, id)) STRICT, WITHOUT ROWID`,
    // A debt: what a rate took and time has not given back, see limits.ts.
    `CREATE TABLE scopes (account TEXT NOT NULL, name TEXT NOT NULL, running INTEGER NOT NULL, held INTEGER NOT NULL,
      spent INTEGER NOT NULL, month INTEGER NOT NULL, month_spent INTEGER NOT NULL, rated_at INTEGER NOT NULL,
      requests_debt INTEGER NOT NULL, tokens_debt INTEGER NOT NULL, PRIMARY KEY (account, name),
      CHECK (running >= 0 AND held >= 0)) STRICT, WITHOUT ROWID`,
    // Without an index on its expiry, which each request would write twice: few are in flight when somebody looks.
    `CREATE TABLE holds (account TEXT NOT NULL, request_id TEXT NOT NULL, key_id TEXT, route TEXT NOT NULL,
      model TEXT NOT NULL, prompt_pico INTEGER NOT NULL, cached_pico INTEGER NOT NULL,
      completion_pico INTEGER NOT NULL, reasoning_pico INTEGER NOT NULL, amount INTEGER NOT NULL,
      tokens INTEGER NOT NULL, is_prepaid INTEGER NOT NULL, scopes TEXT NOT NULL, token_scopes TEXT NOT NULL,
      lease_ms INTEGER NOT NULL, held_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, usage TEXT,
      PRIMARY KEY (account, request_id)) STRICT, WITHOUT ROWID`,
    // In the order in which they are read, and written: random ids would spread them over the whole file.
    `CREATE TABLE receipts (account TEXT NOT NULL, settled_at INTEGER NOT NULL, request_id TEXT NOT NULL, key_id TEXT,
      route TEXT NOT NULL, model TEXT NOT NULL, prompt_pico INTEGER NOT NULL, cached_pico INTEGER NOT NULL,
      completion_pico INTEGER NOT NULL, reasoning_pico INTEGER NOT NULL, amount INTEGER NOT NULL,
      is_prepaid INTEGER NOT NULL, scopes TEXT NOT NULL, held_at INTEGER NOT NULL, cost INTEGER NOT NULL,
      prompt_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
      reasoning_tokens INTEGER NOT NULL, source TEXT NOT NULL, outcome TEXT NOT NULL, backend TEXT,
      engine TEXT NOT NULL, ttft_ms REAL, duration_ms REAL NOT NULL, is_free INTEGER NOT NULL,
      PRIMARY KEY (account, settled_at, request_id)) STRICT, WITHOUT ROWID`,
    "CREATE UNIQUE INDEX receipts_by_request ON receipts (account, request_id)",
    "CREATE INDEX receipts_by_time ON receipts (settled_at, request_id)",
    `CREATE TABLE deliveries (webhook TEXT NOT NULL, account TEXT NOT NULL, request_id TEXT NOT NULL,
      attempts INTEGER NOT NULL, due_at INTEGER NOT NULL, PRIMARY KEY (webhook, account, request_id))
      STRICT, WITHOUT ROWID`,
    "CREATE INDEX deliveries_by_due ON deliveries (due_at)",
    `CREATE TABLE account_records (id TEXT PRIMARY KEY, record TEXT NOT NULL, created_at INTEGER NOT NULL)
      STRICT, WITHOUT ROWID`,
    `CREATE TABLE keys (id TEXT PRIMARY KEY, sha256 TEXT NOT NULL UNIQUE, account TEXT NOT NULL, record TEXT NOT NULL,
      created_at INTEGER NOT NULL, revoked_at INTEGER) STRICT, WITHOUT ROWID`,
  ],
];

/** Brings the database to this version, in one transaction. Throws where a later version wrote it. */
export function migrate(sql: Sql): void {
  sql.transaction(() => {
    sql.run("CREATE TABLE IF NOT EXISTS sluice_version (version INTEGER NOT NULL)");
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
