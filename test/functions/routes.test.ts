import { createConnection } from "node:net";
import { describe, expect, it } from "vitest";
import { useSites } from "../harness/sites.ts";
import { chat } from "../harness/wire.ts";

const LIMIT = 2048;
const { sites, host } = useSites(() => ({ config: { limits: { bodyBytes: LIMIT } } }));
const CHAT = "/chat/completions";

describe.each(sites)("every answer of $name", (site) => {
  it.each(["x-request-id", "x-client-request-id"])("carries the client's own id from %s", async (header) => {
    const response = await site.post(CHAT, chat("x"), { headers: { [header]: "mine-1" } });
    expect(response.headers.get("x-request-id")).toBe("mine-1");
  });

  it.each([
    ["over-long", "x".repeat(513)],
    ["with a space", "a b"],
  ])("gets an id of ours instead of one that is %s", async (_, id) => {
    const response = await site.post(CHAT, chat("x"), { headers: { "x-request-id": id } });
    expect(response.headers.get("x-request-id")).toMatch(/^req_[0-9a-f]{32}$/);
  });

  it.each(["/v1/nowhere", "/v1/models/a%00b"])("has id, version and time on errors too: %s", async (path) => {
    const response = await site.get(path, { headers: { "x-request-id": "mine-2" } });
    expect(response.headers.get("x-request-id")).toBe("mine-2");
    expect(response.headers.get("openai-version")).toBe("2020-10-01");
    expect(Number(response.headers.get("openai-processing-ms"))).toBeGreaterThan(0);
  });
});

describe.each(sites)("refusals of $name", (site) => {
  it("are 404 for an unknown URL, in OpenAI's form", async () => {
    const response = await site.get("/v1/nowhere");
    expect(response.status).toBe(404);
    expect((await response.json()).error).toEqual({
      message: expect.stringContaining("GET /v1/nowhere"),
      type: "invalid_request_error",
      param: null,
      code: null,
    });
  });

  it.each([
    ["GET", "/v1/chat/completions", "POST"],
    ["PUT", "/v1/embeddings", "POST"],
    ["POST", "/v1/models", "GET"],
    ["POST", "/v1/models/a/b", "GET, DELETE"],
  ])("are 405 with the allowed methods for %s %s", async (method, path, allowed) => {
    const response = await site.get(path, { method });
    expect(response.status).toBe(405);
    expect(response.headers.get("allow")).toBe(allowed);
    expect((await response.json()).error.message).toContain(allowed);
  });

  it("are 413 for a body beyond the limit, announced or not", async () => {
    const large = JSON.stringify(chat("x".repeat(LIMIT)));
    // A server that left a body unread may close the connection: nothing else is to be sent on it.
    const headers = { connection: "close" };
    const announced = await site.post(CHAT, large, { headers });
    expect(announced.status).toBe(413);
    expect((await announced.json()).error.message).toContain(`${LIMIT} bytes`);
    const body = new Blob([large]).stream();
    const streamed = await site.post(CHAT, "", { body, headers, duplex: "half" } as RequestInit);
    expect(streamed.status).toBe(413);
    const small = new Blob([JSON.stringify(chat("x"))]).stream();
    expect((await site.post(CHAT, "", { body: small, duplex: "half" } as RequestInit)).status).toBe(200);
  });

  it.each([
    ["text/plain", 415],
    ["application/x-www-form-urlencoded", 415],
    ["application/json; charset=utf-8", 200],
    ["application/vnd.api+json", 200],
  ])("depend on the content type: %s is %i", async (type, status) => {
    const response = await site.post(CHAT, chat("x"), { headers: { "content-type": type } });
    expect(response.status).toBe(status);
    if (status === 415) expect((await response.json()).error.message).toContain(type);
  });

  it.each(["", "{", "nonsense", "{'a': 1}"])("are 400 for a body that is not JSON: %j", async (text) => {
    const response = await site.post(CHAT, "", { body: text });
    expect(response.status).toBe(400);
    expect((await response.json()).error).toMatchObject({ type: "invalid_request_error", param: null });
  });

  it.each(["[]", "null", '"text"', "7"])("are 400 for JSON that is no object: %s", async (text) => {
    const response = await site.post(CHAT, text);
    expect(response.status).toBe(400);
    expect((await response.json()).error.message).toContain("JSON object");
  });
});

describe.each(sites)("browsers and probes at $name", (site) => {
  it("may call from any origin by default, after a preflight", async () => {
    const headers = {
      origin: "https://app.example.com",
      "access-control-request-method": "POST",
      "access-control-request-headers": "authorization,content-type,x-stainless-lang",
    };
    const preflight = await site.get("/v1/chat/completions", { method: "OPTIONS", headers });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get("access-control-allow-origin")).toBe("*");
    expect(preflight.headers.get("access-control-allow-methods")).toContain("POST");
    expect(preflight.headers.get("access-control-allow-headers")).toContain("authorization");
    const response = await site.post(CHAT, chat("x"), { headers: { origin: headers.origin } });
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
    expect(response.headers.get("access-control-expose-headers")).toContain("x-request-id");
  });

  it("get the same from an error, so that a page can read it", async () => {
    const response = await site.post(CHAT, {}, { headers: { origin: "https://app.example.com" } });
    expect(response.status).toBe(400);
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
  });

  it("H1 find it with HEAD and GET on /", async () => {
    const head = await site.get("/", { method: "HEAD" });
    expect([head.status, await head.text()]).toEqual([200, ""]);
    expect(await (await site.get("/")).json()).toMatchObject({ name: "sluice", api: "/v1" });
    expect(await (await site.get("/health")).json()).toEqual({ status: "ok" });
    expect(await (await site.get("/health/ready")).json()).toMatchObject({ status: "ready" });
  });

  it("reach every route without the /v1 as well", async () => {
    const response = await site.get("/chat/completions", {
      method: "POST",
      body: JSON.stringify(chat("x")),
      headers: { "content-type": "application/json" },
    });
    expect(response.status).toBe(200);
  });
});

it("the host outlives a client that breaks off its upload", async () => {
  const socket = createConnection(host().port, "127.0.0.1");
  socket.write("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n");
  socket.write("content-length: 100\r\n\r\n{");
  await new Promise<void>((resolve) => socket.write("half", () => resolve()));
  socket.destroy();
  expect((await fetch(`${host().url}/health`)).status).toBe(200);
});
