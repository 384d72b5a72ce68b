import { afterAll, afterEach, describe, expect, it } from "vitest";
import { createPostgresStore } from "../../../runtime-node/ledger/postgres.ts";
import type { Limits } from "../../../shared/ledger.ts";
import type { Store } from "../../../shared/store.ts";
import { holdOf } from "../../contracts/ledger-fixtures.ts";
import { createLogSpy } from "../../harness/log-spy.ts";
import { startPostgres } from "../../harness/postgres.ts";
import { REDIS_PASSWORD, startRedis } from "../../harness/redis.ts";

const postgres = await startPostgres();
const redis = await startRedis();
const unable = [postgres, redis].flatMap((server) => ("unable" in server ? [server.unable] : []));
if (unable.length > 0) console.log(`Rates in Redis are not tested: ${unable.join("; ")}`);

describe.skipIf(unable.length > 0)("rates in Redis", () => {
  if ("unable" in postgres || "unable" in redis) return;
  const log = createLogSpy();
  const opened: Store[] = [];
  let schemas = 0;
  const openHosts = async (count: number) => {
    const schema = `rates_${schemas++}`;
    const options = {
      url: postgres.url(schema),
      redis: `${redis.url}?keyPrefix=${schema}:`,
      webhooks: [],
      log,
    };
    const hosts = await Promise.all(Array.from({ length: count }, () => createPostgresStore(options)));
    opened.push(...hosts);
    return hosts;
  };
  const hold = (host: Store | undefined, n: number, limits: Limits, more = {}) =>
    host?.ledger.hold(
      holdOf({ requestId: `r${n}`, isPrepaid: false, scopes: [{ name: "account", limits }], ...more }),
    );

  afterEach(async () => {
    for (const store of opened.splice(0)) await store.close();
  });
  afterAll(async () => {
    await redis.close();
    await postgres.close();
  });

  it("are those of all hosts together", async () => {
    const hosts = await openHosts(2);
    const results = await Promise.all(
      Array.from({ length: 30 }, (_, n) => hold(hosts[n % 2], n, { requestsPerMinute: 7 })),
    );
    expect(results.filter((result) => result?.ok)).toHaveLength(7);
  });

  it("get back what they took for a hold that money refused", async () => {
    const [host] = await openHosts(1);
    const limits = { requestsPerMinute: 2 };
    for (let n = 0; n < 5; n += 1)
      expect(await hold(host, n, limits, { isPrepaid: true })).toMatchObject({
        reason: "insufficient_quota",
      });
    expect(await hold(host, 9, limits)).toMatchObject({ ok: true, limits: [{ remaining: 1 }] });
  });

  it("are told as they are where the hold is refused for something else", async () => {
    const [host] = await openHosts(1);
    const limits = { requestsPerMinute: 5, concurrentRequests: 1 };
    await hold(host, 0, limits);
    expect(await hold(host, 1, limits)).toMatchObject({
      ok: false,
      resource: "concurrent",
      limits: [{ resource: "requests", remaining: 4 }],
    });
  });

  it("are kept by Postgres while Redis is away, never by nobody, and by Redis again when it is back", async () => {
    const [host] = await openHosts(1);
    const limits = { requestsPerMinute: 3 };
    expect(await hold(host, 0, limits)).toMatchObject({ ok: true, limits: [{ remaining: 2 }] });
    await redis.stop();
    const results = [];
    for (let n = 1; n <= 6; n += 1) results.push(await hold(host, n, limits));
    expect(results.filter((result) => result?.ok)).toHaveLength(3);
    expect(results.at(-1)).toMatchObject({ ok: false, reason: "rate_limited", resource: "requests" });
    const isBack = log.logged(/Redis answers again/);
    await redis.start();
    await isBack;
    // It has forgotten what it knew: its own count starts new, that of Postgres is used up.
    expect(await hold(host, 7, limits)).toMatchObject({ ok: true, limits: [{ remaining: 2 }] });
    expect(log.text()).toMatch(/Redis can't be asked/);
    expect(log.text()).not.toContain(REDIS_PASSWORD);
  });

  it("are kept by Postgres where Redis can't be reached at the start", async () => {
    const wrong = redis.url.replace(REDIS_PASSWORD, "wrong-password");
    const store = await createPostgresStore({ url: postgres.url("wrong"), redis: wrong, webhooks: [], log });
    opened.push(store);
    const results = [];
    for (let n = 1; n <= 4; n += 1) results.push(await hold(store, n, { requestsPerMinute: 2 }));
    expect(results.filter((result) => result?.ok)).toHaveLength(2);
    expect(log.text()).not.toContain("wrong-password");
  });
});
