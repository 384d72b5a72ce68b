import { createHmac } from "node:crypto";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, it } from "vitest";
import type { Log } from "../../functions/deps.ts";
import { deliverDue, retryDelayMs } from "../../functions/webhooks.ts";
import { createSqliteStore } from "../../runtime-node/ledger/sqlite.ts";
import { createTransport } from "../../runtime-node/transport.ts";
import { bill } from "../harness/billing.ts";

const SECRET = "whsec_c2x1aWNlLXRlc3Qtc2VjcmV0LW9mLTMyLWJ5dGVz";
const T0 = Date.UTC(2026, 10, 25, 12);

interface Post {
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** A receiver on loopback that answers with each of `statuses` in turn, then with the last one. */
async function receiver(...statuses: readonly number[]) {
  const posts: Post[] = [];
  const left = [...statuses];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const piece of request) body += piece;
    posts.push({ headers: request.headers, body });
    const status = (left.length > 1 ? left.shift() : left[0]) ?? 204;
    response.writeHead(status, { location: "/elsewhere" }).end();
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo; // It listens on TCP.
  return { posts, server, url: `http://127.0.0.1:${port}/hook` };
}

/** A store with one webhook, a clock that is set by hand, and everything that was logged. */
function setUp(url: string, { secret = SECRET, ids = ["payments"] } = {}) {
  let now = T0;
  const lines: string[] = [];
  const write = (message: string, fields?: unknown) =>
    void lines.push(`${message} ${JSON.stringify(fields)}`);
  const log: Log = { debug: write, info: write, warn: write, error: write };
  const store = createSqliteStore({ path: ":memory:", now: () => now, webhooks: ids, log });
  const { transport: send } = createTransport(1000);
  const options = {
    books: store.books,
    webhooks: [{ id: "payments", url, secret }],
    send,
    clock: { now: () => now, monotonic: () => now },
    log,
  };
  return {
    store,
    lines,
    deliver: () => deliverDue(options),
    pass: (ms: number) => {
      now += ms;
    },
  };
}

/** As a receiver checks it, by the words of standardwebhooks.com. */
function expectSigned({ headers, body }: Post, key = Buffer.from(SECRET.slice(6), "base64")): void {
  const text = `${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`;
  const expected = createHmac("sha256", key).update(text).digest("base64");
  expect(headers["webhook-signature"]).toBe(`v1,${expected}`);
}

it("posts each settled receipt once, signed, with the receipt's id", async () => {
  const { url, posts } = await receiver(204);
  const { store, deliver } = setUp(url);
  const first = await bill(store);
  const second = await bill(store);
  expect(await deliver()).toBe(2);
  expect(await deliver()).toBe(0);
  expect(posts.map(({ headers }) => headers["webhook-id"]).sort()).toEqual(
    [first.requestId, second.requestId].sort(),
  );
  for (const post of posts) {
    expectSigned(post);
    expect(post.headers["webhook-timestamp"]).toBe(String(T0 / 1000));
    expect(JSON.parse(post.body)).toMatchObject({
      type: "receipt.settled",
      data: { id: post.headers["webhook-id"], account: "acme", cost_nano_usd: first.costNanoUsd },
    });
  }
});

it("signs with a secret of plain text too", async () => {
  const { url, posts } = await receiver(200);
  const { store, deliver } = setUp(url, { secret: "a-secret-of-plain-words" });
  await bill(store);
  await deliver();
  const [post] = posts;
  if (post === undefined) throw new Error("Nothing was posted");
  expectSigned(post, Buffer.from("a-secret-of-plain-words"));
});

it("tries again later with the same id and body, signed anew, until it is taken", async () => {
  const { url, posts } = await receiver(500, 503, 204);
  const { store, deliver, pass } = setUp(url);
  await bill(store);
  expect(await deliver()).toBe(1);
  expect(await deliver()).toBe(0);
  pass(6001);
  expect(await deliver()).toBe(1);
  pass(6001);
  expect(await deliver()).toBe(0);
  pass(12_001);
  expect(await deliver()).toBe(1);
  pass(86_400_000);
  expect(await deliver()).toBe(0);
  expect(posts).toHaveLength(3);
  expect(new Set(posts.map(({ body }) => body)).size).toBe(1);
  expect(new Set(posts.map(({ headers }) => headers["webhook-id"])).size).toBe(1);
  for (const post of posts) expectSigned(post);
});

it("waits longer after each failure, up to a day, and about two and a half days in all", () => {
  const most = Array.from({ length: 11 }, (_, attempts) =>
    Math.max(...Array.from({ length: 50 }, () => retryDelayMs(attempts))),
  );
  const least = Array.from({ length: 11 }, (_, attempts) =>
    Math.min(...Array.from({ length: 50 }, () => retryDelayMs(attempts))),
  );
  for (let at = 1; at < 9; at++) expect(least[at]).toBeGreaterThan(most[at - 1] ?? 0);
  expect(Math.max(...most)).toBeLessThanOrEqual(1.2 * 86_400_000);
  const days = (delays: readonly number[]) => delays.reduce((sum, ms) => sum + ms, 0) / 86_400_000;
  expect(days(least)).toBeGreaterThan(2);
  expect(days(most)).toBeLessThan(3.2);
});

it("gives up on a dead receiver after twelve tries, and says so without the secret", async () => {
  const dead = await receiver();
  await new Promise((resolve) => dead.server.close(resolve));
  const { store, deliver, pass, lines } = setUp(dead.url);
  const { requestId } = await bill(store);
  let tries = 0;
  for (let round = 0; round < 20; round++) {
    tries += await deliver();
    pass(2 * 86_400_000);
  }
  expect(tries).toBe(12);
  expect(lines.at(-1)).toMatch(new RegExp(`given up.*${requestId}.*ECONNREFUSED`));
  expect(lines.join("\n")).not.toContain(SECRET);
});

it("follows no redirect", async () => {
  const { url, posts } = await receiver(302);
  const { store, deliver, lines } = setUp(url);
  await bill(store);
  await deliver();
  expect(posts).toHaveLength(1);
  expect(lines.join("\n")).toMatch(/webhook failed.*answered 302/);
});

it("forgets receipts for a webhook that left the configuration", async () => {
  const { url, posts } = await receiver(204);
  const { store, deliver, pass } = setUp(url, { ids: ["gone"] });
  await bill(store);
  expect(await deliver()).toBe(1);
  pass(86_400_000);
  expect(await deliver()).toBe(0);
  expect(posts).toHaveLength(0);
});
