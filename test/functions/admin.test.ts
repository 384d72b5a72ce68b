import { describe, expect, it } from "vitest";
import { ADMIN_KEY, memoryStore, testApp } from "../harness/app.ts";
import { bill } from "../harness/billing.ts";
import { chat } from "../harness/wire.ts";

const CONFIGURED = "sk-slc-configured-key-of-a-test";

function setUp() {
  const store = memoryStore();
  const app = testApp({
    store,
    config: {
      admin: { key: ADMIN_KEY },
      keys: [{ id: "web", key: CONFIGURED, account: "fixed" }],
      accounts: [{ id: "fixed", prepaid: true }],
    },
  });
  const call = async (method: string, path: string, body?: unknown) => {
    const response = await app.fetch(`/v1/admin/${path}`, {
      method,
      headers: { "x-api-key": ADMIN_KEY, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.status, headers: response.headers, json: await response.json() };
  };
  return { ...app, store, call };
}

describe("accounts", () => {
  it("are made, shown with their balance, listed and set anew, by one form", async () => {
    const { call } = setUp();
    const asked = {
      id: "acme",
      prepaid: true,
      models: ["small"],
      limits: { requests_per_minute: 60, monthly_usd: 12.5 },
      model_limits: { small: { tokens_per_minute: 1000 } },
      labels: { plan: "gold" },
    };
    const made = await call("POST", "accounts", asked);
    expect(made).toMatchObject({ status: 200, json: { ...asked, object: "account" } });
    const shown = await call("GET", "accounts/acme");
    expect(shown.json).toEqual({
      ...made.json,
      balance: { credited_usd: "0", available_usd: "0", held_usd: "0", spent_usd: "0" },
    });
    const set = await call("POST", "accounts", { id: "acme" });
    expect(set.json).toMatchObject({ prepaid: false, limits: {}, created_at: made.json.created_at });
    const { json: listed } = await call("GET", "accounts");
    expect(listed.data.map(({ id }: { id: string }) => id).sort()).toEqual(["acme", "fixed"]);
  });

  it.each([
    ["POST", "accounts", { id: "acme", labels: { plan: "go\0ld" } }],
    ["POST", "accounts", { id: "acme", models: ["sm\0all"] }],
    ["GET", "accounts/ac%00me", undefined],
    ["GET", "receipts?model=%00", undefined],
  ])("with a NUL character, which no database keeps, are refused: %s %s", async (method, path, body) => {
    const { status, json } = await setUp().call(method, path, body);
    expect(status).toBe(400);
    expect(json.error.message).toContain("NUL");
  });

  it("of the configuration are shown, and changed there alone", async () => {
    const { call } = setUp();
    expect((await call("GET", "accounts/fixed")).json).toMatchObject({ prepaid: true, created_at: null });
    expect((await call("POST", "accounts", { id: "fixed" })).status).toBe(409);
  });

  it("are credited once for each id, to the nano-dollar, down to nothing", async () => {
    const { call } = setUp();
    const credit = (id: string, amount_usd: unknown) =>
      call("POST", "accounts/fixed/credits", { id, amount_usd });
    expect((await credit("a", 25)).json).toMatchObject({
      is_repeat: false,
      balance: { available_usd: "25" },
    });
    expect((await credit("a", 25)).json).toMatchObject({ is_repeat: true, balance: { available_usd: "25" } });
    expect((await credit("b", "0.000000001")).json.balance.credited_usd).toBe("25.000000001");
    expect((await credit("c", -26)).json.error).toMatchObject({ param: "amount_usd" });
    expect((await credit("d", "-25.000000001")).json.balance).toMatchObject({ available_usd: "0" });
    expect((await call("POST", "accounts/nobody/credits", { id: "a", amount_usd: 1 })).status).toBe(404);
  });

  it.each([0, "0", "1e3", "1.0000000001", "five", null, 1e12])("refuse %j dollars", async (amount_usd) => {
    const { status, json } = await setUp().call("POST", "accounts/fixed/credits", { id: "a", amount_usd });
    expect(status).toBe(400);
    expect(json.error.param).toBe("amount_usd");
  });
});

describe("keys", () => {
  it("are shown once, when they are made, and work until they are revoked", async () => {
    const { call, post, settled, receipts } = setUp();
    const made = await call("POST", "keys", {
      account: "acme",
      expires: "2999-01-01T00:00:00Z",
      limits: { concurrent_requests: 2, total_usd: 1 },
      labels: { team: "web" },
    });
    expect(made.headers.get("cache-control")).toBe("no-store");
    const { key, ...shown } = made.json;
    expect(key).toMatch(/^sk-slc-/);
    expect(shown).toMatchObject({ object: "key", account: "acme", hint: key.slice(-4), revoked_at: null });

    const ask = () =>
      post("/v1/chat/completions", chat("x"), { headers: { authorization: `Bearer ${key}` } });
    expect((await ask()).status).toBe(200);
    await settled();
    expect(receipts[0]).toMatchObject({ account: "acme", keyId: shown.id });

    const { json: listed } = await call("GET", "keys?account=acme");
    expect(listed.data).toEqual([shown]);
    expect((await call("DELETE", `keys/${shown.id}`)).json).toMatchObject({ id: shown.id, revoked: true });
    expect((await ask()).status).toBe(401);
    expect((await call("GET", "keys?account=acme")).json.data[0].revoked_at).toMatch(/^\d{4}-/);
  });

  it("of the configuration are listed, and removed there alone", async () => {
    const { call } = setUp();
    const { json } = await call("GET", "keys");
    expect(json.data).toMatchObject([{ id: "web", account: "fixed", created_at: null }]);
    expect(JSON.stringify(json)).not.toContain(CONFIGURED);
    expect((await call("DELETE", "keys/web")).status).toBe(409);
    expect((await call("DELETE", "keys/nobody")).status).toBe(404);
  });

  it.each([
    [{ account: "a b" }, "account"],
    [{ limits: { requests_per_minute: 0 } }, "limits.requests_per_minute"],
    [{ limits: { requestsPerMinute: 1 } }, "limits.requestsPerMinute"],
    [{ expires: "soon" }, "expires"],
    [{ models: "small" }, "models"],
    [{ id: "mine" }, "id"],
  ])("refuse %j and name %s", async (body, param) => {
    const { status, json } = await setUp().call("POST", "keys", body);
    expect(status).toBe(400);
    expect(json.error.param).toBe(param);
  });
});

describe("receipts", () => {
  it("are paged, oldest first, and filtered", async () => {
    const { call, store } = setUp();
    const ids: string[] = [];
    for (const account of ["a", "b", "a", "a"])
      ids.push((await bill(store, { hold: { account } })).requestId);
    const seen: string[] = [];
    let after = "";
    do {
      const { json } = await call("GET", `receipts?limit=3${after}`);
      seen.push(...json.data.map(({ id }: { id: string }) => id));
      expect(json.has_more).toBe(json.next !== null);
      after = json.next === null ? "" : `&after=${encodeURIComponent(json.next)}`;
    } while (after !== "");
    expect(seen.sort()).toEqual(ids.sort());
    expect((await call("GET", "receipts?account=b")).json.data).toHaveLength(1);
    expect((await call("GET", "receipts?from=2999-01-01")).json.data).toEqual([]);
    expect((await call("GET", "receipts?to=1")).json.data).toEqual([]);
  });

  it.each([
    ["acount=a", "acount"],
    ["limit=0", "limit"],
    ["from=never", "from"],
    ["format=xml", "format"],
  ])("refuse the query %s and name %s", async (query, param) => {
    const { status, json } = await setUp().call("GET", `receipts?${query}`);
    expect(status).toBe(400);
    expect(json.error.param).toBe(param);
  });

  it("are exported whole, as CSV and as JSON lines, a page in memory at a time", async () => {
    const { rawFetch, store } = setUp();
    let largest = 0;
    const { receipts } = store.books;
    store.books.receipts = (query) => {
      largest = Math.max(largest, query.limit);
      return receipts(query);
    };
    await Promise.all(Array.from({ length: 1100 }, () => bill(store)));
    const read = async (format: string) => {
      const response = await rawFetch(`/v1/admin/receipts?format=${format}`, {
        headers: { "api-key": ADMIN_KEY },
      });
      return {
        type: response.headers.get("content-type"),
        lines: (await response.text()).trimEnd().split(/\r?\n/),
      };
    };
    const csv = await read("csv");
    expect(csv.type).toMatch(/^text\/csv/);
    expect(csv.lines).toHaveLength(1101);
    const jsonl = await read("jsonl");
    const ids = jsonl.lines.map((line) => JSON.parse(line).id);
    expect(new Set(ids).size).toBe(1100);
    expect(csv.lines.slice(1).map((line) => line.split(",")[0])).toEqual(ids);
    expect(largest).toBeLessThanOrEqual(500);
  });

  it("are shown one by one, to their own account and to the admin", async () => {
    const { call, fetch, store } = setUp();
    const own = await bill(store, { hold: { account: "fixed" } });
    const other = await bill(store, { hold: { account: "other" } });
    const ask = async (id: string) =>
      await fetch(`/v1/receipts/${id}`, { headers: { authorization: `Bearer ${CONFIGURED}` } });
    expect(await (await ask(own.requestId)).json()).toMatchObject({ id: own.requestId, cost_usd: "0.0002" });
    expect((await ask(other.requestId)).status).toBe(404);
    expect((await call("GET", `accounts/other/receipts/${other.requestId}`)).json).toMatchObject({
      id: other.requestId,
    });
    expect((await call("GET", `accounts/fixed/receipts/${other.requestId}`)).status).toBe(404);
  });
});

it("shows a key what it may spend and what it has used this month", async () => {
  let now = Date.UTC(2026, 9, 31, 23, 59);
  const store = memoryStore(() => now);
  const key = "sk-slc-key-that-asks-for-its-usage";
  const app = testApp({
    store,
    now: () => now,
    config: {
      keys: [{ id: "web", key, account: "acme", limits: { requestsPerMinute: 9, monthlyUsd: 2 } }],
      accounts: [
        { id: "acme", prepaid: true, models: ["small"], modelLimits: { small: { tokensPerMinute: 5 } } },
      ],
    },
  });
  await store.ledger.credit("acme", { id: "c", amountNanoUsd: 1_000_000_000 });
  await bill(store, { hold: { keyId: "web" } });
  now = Date.UTC(2026, 10, 2);
  await bill(store, { hold: { keyId: "web" } });
  await bill(store, { hold: { keyId: "other" } });
  const response = await app.fetch("/v1/usage", { headers: { authorization: `Bearer ${key}` } });
  expect(await response.json()).toEqual({
    object: "usage",
    account: "acme",
    key_id: "web",
    prepaid: true,
    models: ["small"],
    balance: { credited_usd: "1", available_usd: "0.9994", held_usd: "0", spent_usd: "0.0006" },
    limits: [
      { scope: "key:web", requests_per_minute: 9, monthly_usd: 2 },
      { scope: "model:small", tokens_per_minute: 5 },
    ],
    month: {
      start: "2026-11-01T00:00:00.000Z",
      requests: 1,
      prompt_tokens: 100,
      cached_tokens: 0,
      completion_tokens: 50,
      reasoning_tokens: 0,
      cost_usd: "0.0002",
    },
  });
});
