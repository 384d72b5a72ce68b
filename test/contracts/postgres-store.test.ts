import { afterAll, describe } from "vitest";
import { createPostgresStore, type PostgresStoreOptions } from "../../runtime-node/ledger/postgres.ts";
import type { Store } from "../../shared/store.ts";
import { createLogSpy } from "../harness/log-spy.ts";
import { startPostgres } from "../harness/postgres.ts";
import { startRedis } from "../harness/redis.ts";
import { booksContract } from "./books.ts";
import { directoryContract } from "./directory.ts";
import { ledgerContract } from "./ledger.ts";
import type { MakeStore, Reopen } from "./ledger-fixtures.ts";

const postgres = await startPostgres();
const redis = await startRedis();
if ("unable" in postgres) console.log(`The Postgres store is not tested: ${postgres.unable}`);
if ("unable" in redis) console.log(`Postgres with Redis is not tested: ${redis.unable}`);
afterAll(async () => {
  if ("close" in redis) await redis.close();
  if ("close" in postgres) await postgres.close();
});

const log = createLogSpy();
const opened = new WeakMap<Store, PostgresStoreOptions>();
const open = async (options: PostgresStoreOptions): Promise<Store> => {
  const store = await createPostgresStore(options);
  opened.set(store, options);
  return store;
};
/** The crashed one is closed behind the new one's back: nobody else would, and connections are few. */
const reopen: Reopen = async (store) => {
  const options = opened.get(store);
  if (options === undefined) throw new Error("It was not opened here");
  const next = await open(options);
  await store.close();
  return next;
};
let schemas = 0;

describe.skipIf("unable" in postgres)("alone", () => {
  if ("unable" in postgres) return;
  const inPostgres: MakeStore = (setup) =>
    open({ url: postgres.url(`alone_${schemas++}`), redis: undefined, log, ...setup });
  ledgerContract("Postgres", inPostgres, reopen);
  booksContract("Postgres", inPostgres);
  directoryContract("Postgres", inPostgres);
});

describe.skipIf("unable" in postgres || "unable" in redis)("beside Redis", () => {
  if ("unable" in postgres || "unable" in redis) return;
  const withRedis: MakeStore = (setup) => {
    const schema = `redis_${schemas++}`;
    return open({ url: postgres.url(schema), redis: `${redis.url}?keyPrefix=${schema}:`, log, ...setup });
  };
  ledgerContract("Postgres with Redis", withRedis, reopen);
});
