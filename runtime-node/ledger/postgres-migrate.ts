import { CLOSE_FUNCTIONS } from "./postgres-close.ts";
import { HOLD_FUNCTIONS } from "./postgres-hold.ts";
import { connect, readSchema } from "./postgres-pool.ts";
import { TABLES } from "./postgres-schema.ts";

/** In order, each run once and never changed after its release: what a later release needs is a new one. */
const MIGRATIONS: readonly string[] = [`${TABLES}${HOLD_FUNCTIONS}${CLOSE_FUNCTIONS}`];

/**
 * Brings the database of `url` to this release. Several hosts may start at once: the first does it and the others wait;
 * hosts of an older release go on serving. Throws an Error that says why it can't.
 */
export async function migrate(url: string): Promise<void> {
  const schema = readSchema(url);
  const sql = connect(url, schema);
  try {
    await sql.begin(async (tx) => {
      await tx`SET LOCAL statement_timeout = '60s'`;
      await tx`SELECT pg_advisory_xact_lock(hashtextextended(${`sluice:${schema}`}, 0))`;
      await tx`CREATE SCHEMA IF NOT EXISTS ${tx(schema)}`;
      await tx`CREATE TABLE IF NOT EXISTS migrations (version integer PRIMARY KEY, done_at timestamptz DEFAULT now())`;
      const [done] = await tx<{ version: number }[]>`SELECT max(version) AS version FROM migrations`;
      for (let version = (done?.version ?? 0) + 1; version <= MIGRATIONS.length; version += 1) {
        await tx.unsafe(MIGRATIONS[version - 1] ?? "");
        await tx`INSERT INTO migrations (version) VALUES (${version})`;
      }
    });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`The ledger's Postgres database can't be used: ${reason}`, { cause: error });
  } finally {
    await sql.end();
  }
}
