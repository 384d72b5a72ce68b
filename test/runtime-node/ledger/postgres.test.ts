import { connect, createServer, type Socket } from "node:net";
import { inspect } from "node:util";
import postgres from "postgres";
import { afterAll, afterEach, describe, expect, it, vi } from "vitest";
import { createPostgresStore } from "../../../runtime-node/ledger/postgres.ts";
import type { Hold, Settlement } from "../../../shared/ledger.ts";
import type { Store } from "../../../shared/store.ts";
import { createLogSpy } from "../../harness/log-spy.ts";
import { POSTGRES_PASSWORD, startPostgres } from "../../harness/postgres.ts";

const server = await startPostgres();
if ("unable" in server) console.log(`The Postgres store is not tested: ${server.unable}`);

const HOLD: Hold = {
  account: "ann",
  requestId: "r1",
  keyId: "k1",
  route: "chat",
  model: "m",
  price: {
    promptPicoUsd: 1_000_000,
    cachedPromptPicoUsd: 100_000,
    completionPicoUsd: 2_000_000,
    reasoningPicoUsd: 2_000_000,
  },
  amount: 10_000,
  tokens: 100,
  leaseMs: 60_000,
  isPrepaid: true,
  scopes: [{ name: "account", limits: {} }],
};
const SETTLEMENT: Settlement = {
  usage: { promptTokens: 3, cachedTokens: 0, completionTokens: 2, reasoningTokens: 0 },
  source: "engine",
  outcome: "completed",
  backend: null,
  engine: "e",
  ttftMs: 12,
  durationMs: 34,
  isFree: false,
};

describe.skipIf("unable" in server)("the Postgres store", () => {
  if ("unable" in server) return;
  const log = createLogSpy();
  const opened: Store[] = [];
  let schemas = 0;
  let url = "";

  /** A host: the first one in a schema of its own, more of them beside it. */
  const openStore = async (of: "a new schema" | "the same schema", at = ""): Promise<Store> => {
    if (of === "a new schema") url = server.url(`hosts_${schemas++}`);
    const store = await createPostgresStore({ url: at || url, webhooks: ["books"], log });
    opened.push(store);
    return store;
  };
  const holdMany = (stores: readonly Store[], count: number, hold: Partial<Hold>) =>
    Promise.all(
      Array.from({ length: count }, (_, i) =>
        stores[i % stores.length]?.ledger.hold({ ...HOLD, ...hold, requestId: `r${i}` }),
      ),
    );

  afterEach(async () => {
    for (const store of opened.splice(0)) await store.close();
  });
  afterAll(() => server.close());

  it("admits exactly what the balance covers, from two hosts at once", async () => {
    const stores = [await openStore("a new schema"), await openStore("the same schema")];
    await stores[0]?.ledger.credit("ann", { id: "c", amountNanoUsd: 50 * HOLD.amount });
    const results = await holdMany(stores, 200, {});
    expect(results.filter((result) => result?.ok)).toHaveLength(50);
    expect(await stores[1]?.ledger.balance("ann")).toMatchObject({
      availableNanoUsd: 0,
      heldNanoUsd: 50 * HOLD.amount,
    });
  });

  it("counts rates and concurrent requests over all hosts", async () => {
    const stores = [await openStore("a new schema"), await openStore("the same schema")];
    const limited = { isPrepaid: false, amount: 0 };
    const rated = [{ name: "account", limits: { requestsPerMinute: 7 } }];
    const capped = [{ name: "account", limits: { concurrentRequests: 3 } }];
    const atOnce = await holdMany(stores, 40, { ...limited, account: "bob", scopes: rated });
    const together = await holdMany(stores, 40, { ...limited, account: "cid", scopes: capped });
    expect(atOnce.filter((result) => result?.ok)).toHaveLength(7);
    expect(together.filter((result) => result?.ok)).toHaveLength(3);
  });

  it("settles a request once, and each lost one once, whichever hosts do it", async () => {
    const stores = [await openStore("a new schema"), await openStore("the same schema")];
    await holdMany(stores, 20, { isPrepaid: false, leaseMs: 0 });
    const [one, other] = await Promise.all(
      stores.map((store) => store.ledger.settle({ ...HOLD, requestId: "r0" }, SETTLEMENT)),
    );
    expect(one).toEqual(other);
    const swept = await Promise.all(stores.map((store) => store.ledger.sweep(Date.now() + 60_000)));
    expect(swept.reduce((sum, count) => sum + count, 0)).toBe(19);
    expect(await stores[0]?.books.verify()).toEqual([]);
  });

  it("goes by the database's clock, not by that of a host which is ahead", async () => {
    const store = await openStore("a new schema");
    await store.ledger.hold({ ...HOLD, isPrepaid: false });
    expect(await store.ledger.sweep(Date.now() + 60 * HOLD.leaseMs)).toBe(0);
  });

  it("gives a delivery to one host at a time", async () => {
    const stores = [await openStore("a new schema"), await openStore("the same schema")];
    await holdMany(stores, 10, { isPrepaid: false });
    for (let i = 0; i < 10; i += 1)
      await stores[0]?.ledger.settle({ ...HOLD, requestId: `r${i}` }, SETTLEMENT);
    const now = Date.now() + 1000;
    const taken = await Promise.all(stores.map((store) => store.books.due(now, 100)));
    const ids = taken.flat().map(({ receipt }) => receipt.requestId);
    expect(new Set(ids).size).toBe(ids.length);
    // Those of a host that died at it are taken over.
    expect(await stores[1]?.books.due(now + 60_000, 100)).toHaveLength(10);
  });

  it("is made once when hosts start together, and kept when one starts again", async () => {
    const first = await openStore("a new schema");
    await first.ledger.credit("ann", { id: "c", amountNanoUsd: 7 });
    const together = server.url(`hosts_${schemas++}`);
    const stores = await Promise.all(Array.from({ length: 4 }, () => openStore("the same schema", together)));
    await Promise.all(
      stores.map((store, i) => store.ledger.credit("ann", { id: `c${i}`, amountNanoUsd: 5 })),
    );
    expect(await stores[0]?.ledger.balance("ann")).toMatchObject({ creditedNanoUsd: 20 });
    const again = await openStore("the same schema");
    expect(await again.ledger.balance("ann")).toMatchObject({ creditedNanoUsd: 7 });
  });

  it("loses nothing when the server is killed: 503 meanwhile, settles are written when it is back", async () => {
    const store = await openStore("a new schema");
    await holdMany([store], 20, { isPrepaid: false });
    await server.kill();
    const refused = await store.ledger.hold({ ...HOLD, requestId: "late" }).catch((error: unknown) => error);
    expect(refused).toMatchObject({
      status: 503,
      message: expect.not.stringMatching(/127\.0\.0\.1|postgres|ECONN/i),
    });
    const settling = Promise.all(
      Array.from({ length: 20 }, (_, i) => store.ledger.settle({ ...HOLD, requestId: `r${i}` }, SETTLEMENT)),
    );
    await server.start();
    const receipts = await settling;
    expect(new Set(receipts.map(({ costNanoUsd }) => costNanoUsd))).toEqual(new Set([7000]));
    expect(await store.ledger.hold({ ...HOLD, requestId: "next", isPrepaid: false })).toMatchObject({
      ok: true,
    });
    expect(await store.ledger.balance("ann")).toMatchObject({ spentNanoUsd: 20 * 7000 });
    expect(await store.books.verify()).toEqual([]);
  });

  it("leaves a connection that is silent, and answers over new ones", async () => {
    const sockets: Socket[] = [];
    let isSilent = false;
    const target = new URL(server.url("silent"));
    const port = Number(target.port);
    const proxy = createServer((client) => {
      const upstream = connect(port, "127.0.0.1");
      sockets.push(client, upstream);
      for (const socket of [client, upstream]) socket.on("error", () => socket.destroy());
      client.on("data", (bytes) => isSilent || upstream.write(bytes));
      upstream.on("data", (bytes) => isSilent || client.write(bytes));
    }).listen(0, "127.0.0.1");
    await vi.waitUntil(() => proxy.listening);
    const address = proxy.address();
    if (address === null || typeof address === "string") throw new Error("A TCP server has a port");
    target.port = String(address.port);
    const store = await openStore("a new schema", target.href);
    await store.ledger.hold({ ...HOLD, isPrepaid: false });
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"], shouldAdvanceTime: true });
    try {
      isSilent = true;
      const asked = store.ledger.balance("ann").catch((error: unknown) => error);
      await vi.advanceTimersByTimeAsync(10_000);
      expect(await asked).toMatchObject({ status: 503 });
    } finally {
      vi.useRealTimers();
    }
    isSilent = false;
    expect(await store.ledger.balance("ann")).toMatchObject({ heldNanoUsd: HOLD.amount });
    await opened.pop()?.close();
    for (const socket of sockets) socket.destroy();
    proxy.close();
  });

  it("proves the books, and says what is wrong with them", async () => {
    const store = await openStore("a new schema");
    await holdMany([store], 3, { isPrepaid: false });
    await store.ledger.settle({ ...HOLD, requestId: "r0" }, SETTLEMENT);
    expect(await store.books.verify()).toEqual([]);
    const sql = postgres(url);
    await sql`UPDATE balances SET spent = spent + 1`;
    await sql`UPDATE receipts SET cost = cost - 1`;
    await sql.end();
    expect(await store.books.verify()).toEqual([
      "Account ann says spent 7001; its entries add up to 6999.",
      "Scope account of ann says spent 7000; its entries add up to 6999.",
      "Scope account of ann says spent in the month 7000; its entries add up to 6999.",
      "Receipt r0 charges 6999 nano-dollars; its usage costs 7000.",
    ]);
  });

  it("tells why it can't be opened, and never the password", async () => {
    const wrong = server.url("x").replace("//sluice:", "//nobody:");
    const broken = `postgres://sluice:${POSTGRES_PASSWORD}@[broken/x`;
    const badSchema = server.url("Robert'); DROP");
    for (const [at, reason] of [
      [wrong, /password authentication failed/],
      [broken, /`ledger.url` is no URL/],
      [badSchema, /`search_path`/],
    ] as const) {
      const error = await openStore("the same schema", at).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ message: expect.stringMatching(reason) });
      expect(inspect(error, { depth: null, showHidden: true })).not.toContain(POSTGRES_PASSWORD);
    }
    expect(log.text()).not.toContain(POSTGRES_PASSWORD);
  });
});
