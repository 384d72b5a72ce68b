import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Edge, startEdge } from "../harness/edge.ts";
import {
  answerJson,
  answerOf,
  answerStream,
  chunkOf,
  startUpstream,
  type Upstream,
} from "../harness/upstream.ts";
import { chat, eventsOf, eventually, gate, type Json, readStream } from "../harness/wire.ts";
import { letInFifty } from "./fifty.ts";

const ADMIN_KEY = "sk-admin-of-the-edge";
const PREPAID_KEY = "sk-slc-prepaid-of-the-edge";
const POSTPAID_KEY = "sk-slc-postpaid-of-the-edge";

let storage: string;
let upstream: Upstream;
let edge: Edge;
beforeAll(async () => {
  storage = await mkdtemp(join(tmpdir(), "sluice-edge-"));
  upstream = await startUpstream();
  edge = await startEdge(
    {
      admin: { key: ADMIN_KEY },
      accounts: [{ id: "pre", prepaid: true }, { id: "post" }],
      keys: [
        { id: "pre", key: PREPAID_KEY, account: "pre" },
        { id: "post", key: POSTPAID_KEY, account: "post" },
      ],
      limits: { keepAliveMs: 100, inFlight: 1000 },
      backends: [
        {
          id: "gpu",
          url: upstream.url,
          models: [{ id: "sluice-demo", price: { prompt: 0, completion: 1000 } }],
        },
      ],
    },
    {},
    { entry: "./trips-worker.js", storage },
  );
});
afterAll(async () => {
  await edge.close();
  await upstream.close();
  await rm(storage, { recursive: true, force: true });
});

const post = (key: string, body: unknown, init: RequestInit = {}) =>
  fetch(`${edge.baseURL}/chat/completions`, {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
    ...init,
  });
const admin = async (path: string, body?: unknown): Promise<Json> => {
  const response = await fetch(`${edge.baseURL}/admin${path}`, {
    headers: { "content-type": "application/json", authorization: `Bearer ${ADMIN_KEY}` },
    ...(body === undefined ? {} : { method: "POST", body: JSON.stringify(body) }),
  });
  expect(response.status).toBe(200);
  return await response.json();
};
const trips = async (path = ""): Promise<readonly string[]> =>
  (await fetch(`${edge.url}/trips${path}`, path === "" ? {} : { method: "POST" })).json();
const balance = async (account: string): Promise<Json> => (await admin(`/accounts/${account}`)).balance;
const USAGE = { usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 } };
/** Four tokens are held at most, two are made: $0.004 and $0.002. */
const ASK = chat("x", { max_tokens: 4 });

describe("money at the edge", () => {
  it("lets in of 200 requests at once exactly the 50 that the balance covers", async () => {
    await admin("/accounts/pre/credits", { id: "fifty", amount_usd: "0.2" });
    await letInFifty(upstream, () => post(PREPAID_KEY, ASK));
    await eventually(async () =>
      expect(await balance("pre")).toMatchObject({ held_usd: "0", spent_usd: "0.1", available_usd: "0.1" }),
    );
  });

  it("asks its account's object twice a request: hold and settle", async () => {
    upstream.play(answerJson(200, answerOf("hi")));
    const before = await trips();
    expect((await post(PREPAID_KEY, ASK)).status).toBe(200);
    await eventually(async () => expect(await balance("pre")).toMatchObject({ held_usd: "0" }));
    const asked = (await trips()).slice(before.length);
    expect(asked.filter((method) => method !== "balance")).toEqual(["hold", "settle"]);
  });

  it("looks a key up once, and then goes by that", async () => {
    upstream.play(answerJson(200, answerOf("hi")));
    const { key } = await admin("/keys", { account: "pre" });
    const before = await trips();
    for (let i = 0; i < 3; i++) expect((await post(key, ASK)).status).toBe(200);
    const asked = (await trips()).slice(before.length);
    expect(asked.filter((method) => method === "findKey")).toHaveLength(1);
  });

  it("waits for no object before an answer that nothing can refuse, and bills it", async () => {
    upstream.play(answerStream([chunkOf({ content: "a" }), chunkOf({}, "stop", USAGE), "[DONE]"]));
    await trips("/stop");
    const response = await post(POSTPAID_KEY, chat("x", { max_tokens: 4, stream: true }));
    const { text, isDone } = await readStream(response);
    expect({ text: text(), isDone }).toEqual({ text: "a", isDone: true });
    await trips("/go");
    const id = response.headers.get("x-sluice-receipt");
    await eventually(async () =>
      expect(await admin(`/accounts/post/receipts/${id}`)).toMatchObject({
        outcome: "completed",
        cost_usd: "0.002",
      }),
    );
  });

  it("bills a client that leaves for what was made until then", async () => {
    upstream.play(answerStream([chunkOf({ content: "a" }, null, USAGE)], "hang"));
    const response = await post(PREPAID_KEY, chat("x", { max_tokens: 4, stream: true }));
    for await (const _ of eventsOf(response)) break; // At its first event.
    const id = response.headers.get("x-sluice-receipt");
    await eventually(async () =>
      expect(await admin(`/accounts/pre/receipts/${id}`)).toMatchObject({
        outcome: "client_aborted",
        cost_usd: "0.002",
      }),
    );
  });

  it("keeps what is held and spent when workerd is killed", async () => {
    const { opened: arrived, open: arrive } = gate();
    upstream.play(() => arrive());
    const asking = post(PREPAID_KEY, ASK).catch(() => "broken off");
    await arrived;
    const before = await balance("pre");
    expect(before.held_usd).toBe("0.004");
    await edge.restart();
    expect(await asking).toBe("broken off");
    expect(await balance("pre")).toEqual(before);
  });
});
