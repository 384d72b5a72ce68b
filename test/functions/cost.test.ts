import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createHttpEngine } from "../../functions/backends/http-engine.ts";
import { createTransport } from "../../runtime-node/transport.ts";
import type { Engine } from "../../shared/engine.ts";
import { encodeEvent, SSE_HEADERS } from "../../shared/openai/sse.ts";
import { NO_USAGE } from "../../shared/openai/usage.ts";
import { toPrice } from "../../shared/pricing.ts";
import { dummy, entryOf, PREPAID_KEY, testApp } from "../harness/app.ts";
import { answerStream, chunkOf, startUpstream, type Upstream } from "../harness/upstream.ts";
import { chat, readStream } from "../harness/wire.ts";

const CHAT = "/v1/chat/completions";
const PRICE = toPrice({ prompt: 1, completion: 2 });
const ASKED = { usage: { include_cost: true }, max_tokens: 9 };

let upstream: Upstream;
const made = createTransport(5000);
beforeAll(async () => {
  upstream = await startUpstream();
});
afterAll(async () => {
  await upstream.close();
  await made.close();
});

/** The same app over any engine, asked for what it costs; the answer is not held against OpenAI's schemas. */
function ask(engine: Engine, more: Record<string, unknown> = {}) {
  const app = testApp({ engines: [entryOf(engine, { price: PRICE })], credit: 10 ** 9 });
  const headers = { "content-type": "application/json", authorization: `Bearer ${PREPAID_KEY}` };
  const body = JSON.stringify(chat("one two three", { ...ASKED, ...more }));
  return { app, answer: app.rawFetch(CHAT, { method: "POST", headers, body }) };
}

describe("the cost that a client asks for", () => {
  it("is in the usage of an answer, in its header and on its receipt", async () => {
    const { app, answer } = ask(dummy());
    const response = await answer;
    expect((await response.json()).usage).toMatchObject({ completion_tokens: 3, cost: 9e-6 });
    expect(response.headers.get("x-sluice-cost-usd")).toBe("0.000009");
    expect(app.receipts).toMatchObject([{ costNanoUsd: 9000 }]);
  });

  it("is in the usage that ends a stream, asked for or not", async () => {
    const { answer } = ask(dummy(), { stream: true });
    const { chunks, isDone } = await readStream(await answer);
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: 3, cost: 9e-6 } });
    expect(isDone).toBe(true);
  });

  it("is there also where a backend writes its JSON with spaces", async () => {
    const asked = { id: "1", object: "chat.completion.chunk", created: 1, model: "sluice-demo" };
    const usage = '"usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}';
    upstream.play(
      answerStream([
        chunkOf({ content: "a" }),
        chunkOf({}, "stop"),
        `${JSON.stringify(asked).slice(0, -1)}, "choices": [], ${usage}}`,
        "[DONE]",
      ]),
    );
    const engine = createHttpEngine({
      id: "gpu",
      url: upstream.url,
      apiKey: undefined,
      headers: {},
      models: "any",
      headersTimeoutMs: 20_000,
      idleTimeoutMs: 20_000,
      transport: made.transport,
    });
    const { answer } = ask(engine, { stream: true });
    const { chunks } = await readStream(await answer);
    expect(chunks.at(-1)?.usage).toMatchObject({ completion_tokens: 2, cost: 7e-6 });
  });

  it("does not end the bill of a client that leaves before its engine has stopped", async () => {
    const stopped = Promise.withResolvers<void>();
    const asked = Promise.withResolvers<void>();
    let completionTokens = 1;
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(encodeEvent("{}")),
      async cancel() {
        asked.resolve();
        await stopped.promise;
        completionTokens = 2;
      },
    });
    const engine: Engine = {
      ...dummy(),
      async respond({ report }) {
        report.read = () => ({ usage: { ...NO_USAGE, completionTokens }, source: "engine" });
        return new Response(body, { headers: SSE_HEADERS });
      },
    };
    const { app, answer } = ask(engine, { stream: true });
    const reader = (await answer).body?.getReader();
    await reader?.read();
    const cancelled = reader?.cancel();
    await asked.promise;
    stopped.resolve();
    await cancelled;
    await app.settled();
    expect(app.receipts).toMatchObject([{ outcome: "client_aborted", usage: { completionTokens: 2 } }]);
  });
});
