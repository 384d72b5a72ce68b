import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createHttpEngine, type HttpEngineOptions } from "../../functions/backends/http-engine.ts";
import { createTransport } from "../../runtime-node/transport.ts";
import type { Engine } from "../../shared/engine.ts";
import { chatCall } from "../harness/calls.ts";
import {
  answerJson,
  answerOf,
  answerStream,
  answerText,
  chunkOf,
  startUpstream,
  type Upstream,
} from "../harness/upstream.ts";
import { chat, eventsOf, type Json, readStream } from "../harness/wire.ts";

let upstream: Upstream;
const made = createTransport(5000);
beforeAll(async () => {
  upstream = await startUpstream();
});
beforeEach(() => void upstream.requests.splice(0));
afterAll(async () => {
  await upstream.close();
  await made.close();
});

function engineOn(more: Partial<HttpEngineOptions> = {}): Engine {
  return createHttpEngine({
    id: "gpu",
    url: upstream.url,
    apiKey: "sk-backend",
    headers: { "x-extra": "1" },
    models: "any",
    headersTimeoutMs: 20_000,
    idleTimeoutMs: 20_000,
    transport: made.transport,
    ...more,
  });
}

const MODEL = "backend-model";
const CHUNKS = [
  chunkOf({ role: "assistant", content: "" }),
  chunkOf({ content: "a" }),
  chunkOf({ content: "b" }),
  chunkOf({}, "stop"),
];
const USAGE = { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 };
const USAGE_CHUNK = { ...chunkOf({}), choices: [], usage: USAGE };

describe("what is sent to a backend", () => {
  it("is the client's body under the backend's model name, with our key and id", async () => {
    upstream.play(answerJson(200, answerOf("hi")));
    await engineOn().respond(
      chatCall(MODEL, chat("x", { top_k: 3, unknown_extra: { a: 1 }, temperature: null })),
    );
    expect(upstream.requests).toHaveLength(1);
    const { method, path, headers, body } = upstream.requests[0] as Json;
    expect([method, path]).toEqual(["POST", "/v1/chat/completions"]);
    expect(headers).toMatchObject({
      authorization: "Bearer sk-backend",
      "content-type": "application/json",
      "x-request-id": "req_test",
      "x-extra": "1",
    });
    expect(body).toEqual({
      model: MODEL,
      messages: [{ role: "user", content: "x" }],
      top_k: 3,
      unknown_extra: { a: 1 },
    });
  });

  it("asks for the usage of every stream, and keeps the client's other options", async () => {
    upstream.play(answerStream([...CHUNKS, USAGE_CHUNK, "[DONE]"]));
    const options = { include_usage: false, include_obfuscation: true };
    await readStream(
      await engineOn().respond(chatCall(MODEL, chat("x", { stream: true, stream_options: options }))),
    );
    expect(upstream.requests[0]?.body.stream_options).toEqual({
      include_usage: true,
      include_obfuscation: true,
    });
  });

  it("is never a body that is nested too deeply to be written: that is the client's fault", async () => {
    const depth = 100_000;
    const deep: unknown = JSON.parse("[".repeat(depth) + "]".repeat(depth));
    const answer = engineOn().respond(chatCall(MODEL, chat("x", { extra: deep })));
    await expect(answer).rejects.toMatchObject({ name: "ApiError", status: 400 });
    expect(upstream.requests).toHaveLength(0);
  });

  it("has no authorization without a key", async () => {
    upstream.play(answerJson(200, answerOf("hi")));
    await engineOn({ apiKey: undefined }).respond(chatCall(MODEL, chat("x")));
    expect(upstream.requests[0]?.headers).not.toHaveProperty("authorization");
  });
});

describe("a backend's answer", () => {
  it("comes under the client's model name, completed where peers leave keys out", async () => {
    const { choices } = answerOf("hi");
    const [{ logprobs: _, ...choice }] = choices as [Json];
    const bare = { ...choice, message: { role: "assistant", content: "hi" } };
    upstream.play(answerJson(200, answerOf("hi", { choices: [bare], system_fingerprint: null, extra: 7 })));
    const call = chatCall(MODEL, chat("x"));
    const body: Json = await (await engineOn().respond(call)).json();
    expect(body).toMatchObject({ model: "asked-for", extra: 7 });
    expect(body).not.toHaveProperty("system_fingerprint");
    expect(body.choices[0]).toMatchObject({ logprobs: null, message: { refusal: null } });
    expect(call.report.read()).toMatchObject({
      source: "engine",
      usage: { promptTokens: 3, completionTokens: 2 },
    });
  });

  it.each([
    ["an HTML page", answerText(200, "<html>")],
    ["a list", answerJson(200, [])],
    ["a redirect", answerText(302, "", { location: "http://elsewhere.example" })],
  ])("that is %s is a 502 without its text", async (_, script) => {
    upstream.play(script);
    await expect(engineOn().respond(chatCall(MODEL, chat("x")))).rejects.toMatchObject({
      status: 502,
      message: expect.not.stringContaining("html"),
    });
  });
});

it("a backend's redirect is a 502 for a stream too, before its first byte", async () => {
  upstream.play(answerText(302, "", { location: "http://elsewhere.example" }));
  const answer = engineOn().respond(chatCall(MODEL, chat("x", { stream: true })));
  await expect(answer).rejects.toMatchObject({ status: 502 });
});

describe("a backend's models", () => {
  it("are what it lists, in our form", async () => {
    upstream.play(
      answerJson(200, {
        object: "list",
        data: [{ id: "m1", created: 5, max_model_len: 100 }, { id: "m2" }, {}, 7],
      }),
    );
    expect(await engineOn().models(new AbortController().signal)).toEqual([
      { id: "m1", created: 5, ownedBy: "gpu", contextSize: 100 },
      { id: "m2", created: 0, ownedBy: "gpu" },
    ]);
    expect(upstream.requests[0]).toMatchObject({ method: "GET", path: "/v1/models" });
  });

  it("are those of the configuration where it names them, without asking", async () => {
    const engine = engineOn({ models: ["a", "b"] });
    expect((await engine.models(new AbortController().signal)).map(({ id }) => id)).toEqual(["a", "b"]);
    expect([engine.isModelLoaded("a"), engine.isModelLoaded("c")]).toEqual([true, false]);
    expect(upstream.requests).toHaveLength(0);
  });
});

describe("a backend that fails", () => {
  it("is a 502 when it can't be reached, and its status says so until it can", async () => {
    const gone = await startUpstream();
    await gone.close();
    const engine = engineOn({ url: gone.url });
    await expect(engine.respond(chatCall(MODEL, chat("x")))).rejects.toMatchObject({
      name: "ApiError",
      status: 502,
      message: "The backend `gpu` can't be reached.",
    });
    expect(engine.status()).toMatchObject({ state: "failed", active: 0 });
  });

  it("is a 502 when it closes the connection before its headers, or in mid-answer", async () => {
    upstream.play((response) => void response.destroy());
    await expect(engineOn().respond(chatCall(MODEL, chat("x")))).rejects.toMatchObject({ status: 502 });
    upstream.play((response) => {
      response.writeHead(200, { "content-type": "application/json", "content-length": "100" });
      response.write("{", () => response.destroy());
    });
    await expect(engineOn().respond(chatCall(MODEL, chat("x")))).rejects.toMatchObject({ status: 502 });
  });

  it.each([400, 401, 500])(
    "and writes our key into its %i tells it to nobody, in no message and no cause",
    async (status) => {
      upstream.play(
        answerJson(status, { error: { message: "No such key: sk-backend", type: "sk-backend" } }),
      );
      const failed = await engineOn()
        .respond(chatCall(MODEL, chat("x")))
        .catch((thrown: unknown) => thrown);
      expect(failed).toBeInstanceOf(Error);
      for (let at: unknown = failed; at instanceof Error; at = at.cause)
        expect(`${at.stack} ${JSON.stringify(at)}`).not.toContain("sk-backend");
    },
  );

  it.each([
    ["its headers take too long", undefined],
    ["it stops in the middle of an answer that is no stream", 200],
    ["it stops in the middle of an error", 500],
  ])("is a 504 when %s, and the connection is closed", async (_, status) => {
    upstream.play((response) => {
      if (status === undefined) return;
      response.writeHead(status, { "content-type": "application/json" });
      response.write("{");
    });
    const asked = upstream.next();
    // Long enough for the request to arrive first, also on a busy machine.
    const engine = engineOn({ headersTimeoutMs: 1000 });
    await expect(engine.respond(chatCall(MODEL, chat("x")))).rejects.toMatchObject({
      status: 504,
      code: "timeout",
    });
    await (await asked).closed;
    expect(engine.status().active).toBe(0);
  });
});

describe("a caller that leaves", () => {
  it("before the headers closes the backend's connection", async () => {
    upstream.play(() => {});
    const asked = upstream.next();
    const abort = new AbortController();
    const answer = engineOn().respond(chatCall(MODEL, chat("x"), abort.signal));
    answer.catch(() => {}); // Looked at below.
    const request = await asked;
    abort.abort(new Error("left"));
    await request.closed;
    await expect(answer).rejects.toThrow("left");
  });

  it.each(["by the signal", "by cancelling the body"])("in mid-stream, %s, closes it too", async (how) => {
    upstream.play(answerStream(CHUNKS.slice(0, 2), "hang"));
    const asked = upstream.next();
    const abort = new AbortController();
    const engine = engineOn();
    const events = eventsOf(await engine.respond(chatCall(MODEL, chat("x", { stream: true }), abort.signal)));
    await events.next();
    await events.next();
    if (how === "by the signal") {
      abort.abort(new Error("left"));
      await expect(events.next()).rejects.toThrow("left");
    } else await events.return();
    await (await asked).closed;
    expect(engine.status().active).toBe(0);
  });
});
