import type { Log } from "../../functions/deps.ts";
import type { Store } from "../../shared/store.ts";
import { createPostgresBooks } from "./postgres-books.ts";
import { createPostgresDirectory } from "./postgres-directory.ts";
import { createPostgresLedger } from "./postgres-ledger.ts";
import { migrate } from "./postgres-migrate.ts";
import { createOwed } from "./postgres-owed.ts";
import { createPool } from "./postgres-pool.ts";
import { createRedisRates } from "./redis-rates.ts";

export interface PostgresStoreOptions {
  /** `postgres://…`; its `search_path` names the schema, `sluice` where it doesn't. */
  readonly url: string;
  /** `redis://…` of the Redis or Valkey that keeps the rates; left out, Postgres does. */
  readonly redis?: string | undefined;
  /** Ids of the webhooks that are told of each receipt. */
  readonly webhooks: readonly string[];
  /** Unix ms, for tests; left out, the database's own clock decides. */
  readonly now?: () => number;
  readonly log: Log;
}

/**
 * Money and keys in Postgres, for any number of hosts. While it can't be reached, new requests get 503 and settles are
 * kept until they are written. Throws an Error that says why, and nothing secret, where the database can't be used.
 */
export async function createPostgresStore(options: PostgresStoreOptions): Promise<Store> {
  const { url, redis, webhooks, now, log } = options;
  await migrate(url);
  const pool = createPool(url, log);
  const owed = createOwed(log);
  const rates = redis === undefined ? undefined : await createRedisRates({ url: redis, now, log });
  return {
    ledger: createPostgresLedger({ pool, owed, rates, webhooks, now }),
    books: createPostgresBooks(pool, webhooks),
    directory: createPostgresDirectory(pool),
    isDistant: false,
    async close() {
      await owed.close();
      await pool.close();
      await rates?.close();
    },
  };
}
