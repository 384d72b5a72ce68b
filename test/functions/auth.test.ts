import { describe, expect, it } from "vitest";
import { keyOf, newKey } from "../../shared/grant.ts";
import type { Store } from "../../shared/store.ts";
import { memoryStore, testApp } from "../harness/app.ts";
import { chat } from "../harness/wire.ts";

const CHAT = "/v1/chat/completions";
const ADMIN = "the-admin-key-of-a-test";
const STATIC = "sk-slc-static-key-of-a-test-0001";

/** A new key in the store. */
async function createKey(store: Store, asked: Record<string, unknown> = {}) {
  const { key, record } = await keyOf(newKey.parse(asked), Date.now());
  await store.directory.createKey(record);
  return { key, id: record.id };
}

/** An app with one configured key. */
function closed(config: Record<string, unknown> = {}, store = memoryStore()) {
  const keys = [{ id: "web", key: STATIC, account: "acme" }];
  return { ...testApp({ config: { keys, admin: { key: ADMIN }, ...config }, store }), store };
}

const bearer = (key: string) => ({ authorization: `Bearer ${key}` });

describe("a server without a single key", () => {
  it.each<Record<string, string>>([{}, bearer("none"), bearer("sk-slc-unknown"), { "api-key": "x" }])(
    "serves everybody, whatever they send: %j",
    async (headers) => {
      const app = testApp();
      expect((await app.post(CHAT, chat("x"), { headers })).status).toBe(200);
      await app.settled();
      expect(app.receipts[0]).toMatchObject({ account: "open", keyId: null });
    },
  );

  it("is open whether or not there is an admin key, which the admin API needs all the same", async () => {
    const app = testApp({ config: { admin: { key: ADMIN } } });
    expect((await app.post(CHAT, chat("x"))).status).toBe(200);
    expect((await app.fetch("/v1/admin/keys")).status).toBe(401);
    expect((await app.fetch("/v1/admin/keys", { headers: bearer(ADMIN) })).status).toBe(200);
  });

  it("closes within a second of the first key, at once for the key itself, and never opens again", async () => {
    const store = memoryStore();
    let now = 0;
    const app = testApp({ store, now: () => now });
    expect((await app.post(CHAT, chat("x"))).status).toBe(200);
    const { key, id } = await createKey(store, { account: "acme" });
    expect((await app.post(CHAT, chat("x"), { headers: bearer(key) })).status).toBe(200);
    await app.settled();
    expect(app.receipts.map(({ account }) => account)).toEqual(["open", "acme"]);
    now += 1001;
    expect((await app.post(CHAT, chat("x"))).status).toBe(401);
    await store.directory.revokeKey(id, now);
    now += 1001;
    expect((await app.post(CHAT, chat("x"))).status).toBe(401);
    expect((await testApp({ store }).post(CHAT, chat("x"))).status).toBe(401);
  });

  it("serves nobody where keys are required", async () => {
    const app = testApp({ config: { auth: "required" } });
    expect((await app.post(CHAT, chat("x"))).status).toBe(401);
  });
});

describe("keys", () => {
  it.each<Record<string, string>>([
    bearer(STATIC),
    { authorization: `bearer   ${STATIC} ` },
    { "api-key": STATIC },
    { "x-api-key": STATIC },
  ])("are read from %j", async (headers) => {
    const app = closed();
    expect((await app.post(CHAT, chat("x"), { headers })).status).toBe(200);
    await app.settled();
    expect(app.receipts[0]).toMatchObject({ account: "acme", keyId: "web" });
  });

  it("may be in the configuration as a hash alone", async () => {
    const sha256 = "c2d3d5e3a97d5b5c1a57d0a8d3f5e6c0bd8c7b2e7b1e6a9c3d3f1f3d1c0b5a49";
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(STATIC));
    const hex = Buffer.from(digest).toString("hex");
    const app = closed({
      keys: [
        { id: "batch", sha256: hex },
        { id: "other", sha256 },
      ],
    });
    expect((await app.post(CHAT, chat("x"), { headers: bearer(STATIC) })).status).toBe(200);
    await app.settled();
    expect(app.receipts[0]).toMatchObject({ account: "default", keyId: "batch" });
  });

  it("are asked for in OpenAI's words", async () => {
    const response = await closed().post(CHAT, chat("x"));
    expect(response.status).toBe(401);
    expect(response.headers.get("www-authenticate")).toMatch(/^Bearer/);
    expect((await response.json()).error).toEqual({
      message: expect.stringMatching(/^You didn't provide an API key\./),
      type: "invalid_request_error",
      param: null,
      code: null,
    });
  });

  it("are refused in OpenAI's words, shown so that one can tell which it was", async () => {
    const wrong = "sk-slc-wrongwrongwrongwrongwrong-abcd";
    const response = await closed().post(CHAT, chat("x"), { headers: bearer(wrong) });
    expect(response.status).toBe(401);
    const { error } = await response.json();
    expect(error).toMatchObject({ type: "invalid_request_error", code: "invalid_api_key" });
    expect(error.message).toMatch(/^Incorrect API key provided: sk-slc-\*\*\*abcd\./);
  });

  it("that have expired or were revoked are refused, each with its reason", async () => {
    const store = memoryStore();
    const app = closed({}, store);
    const expired = await createKey(store, { expires: "2020-01-01T00:00:00Z" });
    const later = await createKey(store, { expires: "2999-01-01T00:00:00+02:00" });
    const revoked = await createKey(store);
    await store.directory.revokeKey(revoked.id, Date.now());
    const ask = async (key: string) => {
      const response = await app.post(CHAT, chat("x"), { headers: bearer(key) });
      return `${response.status} ${response.status === 200 ? "" : (await response.json()).error.message}`;
    };
    expect(await ask(expired.key)).toMatch(/^401 .*has expired/);
    expect(await ask(revoked.key)).toMatch(/^401 .*was revoked/);
    expect(await ask(later.key)).toMatch(/^200/);
  });

  it("are asked before the body is read, and before its size", async () => {
    const app = closed({ limits: { bodyBytes: 1024 } });
    for (const body of ["{", "x".repeat(2000)]) {
      const headers = { "content-type": "application/json", "content-length": String(body.length) };
      expect((await app.fetch(CHAT, { method: "POST", body, headers })).status).toBe(401);
    }
    expect(app.holds).toEqual([]);
  });

  it("may ask for the models that they and their account have, and see no others", async () => {
    const store = memoryStore();
    const app = closed({ accounts: [{ id: "acme", models: ["sluice-demo"] }] }, store);
    const other = await createKey(store, { account: "acme", models: ["other"] });
    const refused = await app.post(CHAT, chat("x"), { headers: bearer(other.key) });
    expect(refused.status).toBe(403);
    expect((await refused.json()).error).toMatchObject({ code: "model_not_found", param: null });
    const models = async (key: string) =>
      (await (await app.fetch("/v1/models", { headers: bearer(key) })).json()).data.map(
        ({ id }: { id: string }) => id,
      );
    expect(await models(STATIC)).toEqual(["sluice-demo"]);
    expect(await models(other.key)).toEqual([]);
    expect((await app.fetch("/v1/models/sluice-demo", { headers: bearer(other.key) })).status).toBe(404);
  });

  it("take the account's limits from the configuration where it has it, also for keys made elsewhere", async () => {
    const store = memoryStore();
    const app = closed({ accounts: [{ id: "acme", limits: { requestsPerMinute: 1 } }] }, store);
    const { key } = await createKey(store, { account: "acme" });
    expect((await app.post(CHAT, chat("x"), { headers: bearer(key) })).status).toBe(200);
    expect((await app.post(CHAT, chat("x"), { headers: bearer(key) })).status).toBe(429);
  });

  it("that can't be checked are no reason to let anybody in: 503", async () => {
    const store = memoryStore();
    const app = closed(
      {},
      { ...store, directory: { ...store.directory, findKey: () => Promise.reject(new Error("disk")) } },
    );
    const response = await app.post(CHAT, chat("x"), { headers: bearer("sk-slc-not-in-the-configuration") });
    expect(response.status).toBe(503);
    expect(response.headers.get("retry-after")).toBe("1");
    expect(await response.text()).not.toContain("disk");
  });
});

describe("who may do what", () => {
  const OPEN = ["/", "/health", "/health/ready"];
  const CLIENT = ["/v1/models", "/v1/models/sluice-demo", "/v1/usage"];
  const OPERATOR = ["/v1/system/status", "/v1/system/engines/none/logs"];
  const ADMIN_ONLY = [
    "/v1/admin/accounts",
    "/v1/admin/keys",
    "/v1/admin/receipts",
    "/v1/organization/costs?start_time=0",
    "/v1/organization/usage/completions?start_time=1790000000",
  ];
  const status = async (app: ReturnType<typeof closed>, path: string, key?: string) =>
    (await app.fetch(path, key === undefined ? {} : { headers: bearer(key) })).status;

  it.each(OPEN)("anyone: %s", async (path) => {
    expect(await status(closed(), path)).toBe(200);
  });

  it.each(CLIENT)("a client's key, and not the admin's: %s", async (path) => {
    const app = closed();
    expect(await status(app, path)).toBe(401);
    expect(await status(app, path, STATIC)).toBe(200);
    expect(await status(app, path, ADMIN)).toBe(403);
  });

  it.each(OPERATOR)("the admin key, and anybody while the server is open: %s", async (path) => {
    const app = closed();
    expect(await status(app, path)).toBe(401);
    expect(await status(app, path, STATIC)).toBe(403);
    const allowed = await status(app, path, ADMIN);
    expect([200, 404]).toContain(allowed);
    expect(await status(testApp() as typeof app, path)).toBe(allowed);
  });

  it.each(ADMIN_ONLY)("the admin key alone: %s", async (path) => {
    const app = closed();
    expect(await status(app, path)).toBe(401);
    expect(await status(app, path, STATIC)).toBe(403);
    expect(await status(app, path, `${ADMIN}x`)).toBe(401);
    expect(await status(app, path, ADMIN)).toBe(200);
  });

  it("says how to have an admin API where there is none", async () => {
    for (const app of [testApp(), testApp({ config: { keys: [{ id: "web", key: STATIC }] } })]) {
      const response = await app.fetch("/v1/admin/keys", { headers: bearer(STATIC) });
      expect(response.status).toBe(403);
      expect((await response.json()).error).toMatchObject({
        type: "permission_error",
        message: expect.stringContaining("admin.key"),
      });
    }
  });
});
