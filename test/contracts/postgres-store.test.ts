import sql from "postgres";
import { afterAll, describe, vi } from "vitest";
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

// Thousands of statements a property, each a round trip to a server that shares the machine with other tests.
vi.setConfig({ testTimeout: 120_000 });

/** Children before their parents. */
const TABLES = ["deliveries", "receipts", "holds", "scopes", "credits", "balances", "keys", "accounts"];

describe.skipIf("unable" in postgres)("in Postgres", () => {
  if ("unable" in postgres) return;
  const admin = sql(postgres.url("public"), { max: 1 });
  afterAll(() => admin.end());
  const log = createLogSpy();
  const opened = new WeakMap<Store, { readonly options: PostgresStoreOptions; readonly schema: string }>();
  /** Of closed stores: emptying one is quick, and making one takes longer than most tests. */
  const left: string[] = [];
  let made = 0;

  const open = async (options: PostgresStoreOptions, schema: string): Promise<Store> => {
    const store = await createPostgresStore(options);
    const close = async () => {
      await store.close();
      left.push(schema);
    };
    const closing = { ...store, close };
    opened.set(closing, { options, schema });
    return closing;
  };
  const openEmpty = async (options: Omit<PostgresStoreOptions, "url">): Promise<Store> => {
    const used = left.pop();
    const schema = used ?? `contract_${made++}`;
    if (used !== undefined)
      await admin.unsafe(TABLES.map((table) => `DELETE FROM ${used}.${table}`).join(";"));
    return open({ ...options, url: postgres.url(schema) }, schema);
  };
  /** The crashed one is closed behind the new one's back: nobody else would, and connections are few. */
  const reopen: Reopen = async (store) => {
    const crashed = opened.get(store);
    if (crashed === undefined) throw new Error("It was not opened here");
    const next = await open(crashed.options, crashed.schema);
    await store.close();
    left.splice(left.lastIndexOf(crashed.schema), 1);
    return next;
  };

  const alone: MakeStore = (setup) => openEmpty({ redis: undefined, log, ...setup });
  ledgerContract("Postgres", alone, reopen);
  booksContract("Postgres", alone);
  directoryContract("Postgres", alone);

  describe.skipIf("unable" in redis)("beside Redis", () => {
    if ("unable" in redis) return;
    let prefixes = 0;
    const besideRedis: MakeStore = (setup) =>
      openEmpty({ redis: `${redis.url}?keyPrefix=${prefixes++}:`, log, ...setup });
    ledgerContract("Postgres with Redis", besideRedis, reopen);
  });
});
