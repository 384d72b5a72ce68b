import { APIError } from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createHttpEngine } from "../../functions/backends/http-engine.ts";
import { createTransport } from "../../runtime-node/transport.ts";
import { entryOf, testApp } from "../harness/app.ts";
import { useSites } from "../harness/sites.ts";
import { answerStream, chunkOf, startUpstream, type Upstream } from "../harness/upstream.ts";
import { chat, type Json, MODEL, readStream } from "../harness/wire.ts";

/** A role, five tokens, and then the backend is gone. */
const FIVE_TOKENS = [
  chunkOf({ role: "assistant", content: "" }),
  ...["a", "b", "c", "d", "e"].map((content) => chunkOf({ content })),
];

let upstream: Upstream;
const started = startUpstream(answerStream(FIVE_TOKENS, "destroy"));
beforeAll(async () => {
  upstream = await started;
});
afterAll(() => upstream.close());

const { sites, host } = useSites(async () => ({
  config: { backends: [{ id: "dying", url: (await started).url, models: [MODEL] }] },
}));

describe.each(sites)("S4 a backend that dies after five tokens, through $name", (site) => {
  it("ends the stream in one error event, without [DONE]", async () => {
    const response = await site.post("/chat/completions", chat("x", { stream: true }));
    expect(response.status).toBe(200);
    const { text, error, isDone } = await readStream(response);
    expect(text()).toBe("abcde");
    expect(error).toMatchObject({ type: "server_error", param: null, code: null });
    expect(isDone).toBe(false);
  });

  it("is an APIError in the SDK, after the five tokens", async () => {
    const messages = [{ role: "user" as const, content: "x" }];
    const stream = await site.client().chat.completions.create({ model: MODEL, messages, stream: true });
    let text = "";
    const read = async () => {
      for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
    };
    await expect(read()).rejects.toBeInstanceOf(APIError);
    expect(text).toBe("abcde");
  });
});

it("S4 five tokens are counted in the host's status", async () => {
  const counted = async () => {
    const status: Json = await (await fetch(`${host().url}/v1/system/status`)).json();
    return status.traffic.completion_tokens_total;
  };
  const before = await counted();
  await readStream(await fetchStream(`${host().baseURL}/chat/completions`));
  expect((await counted()) - before).toBe(5);
});

it("S4 the receipt has the five tokens that were produced", async () => {
  const { transport, close } = createTransport(5000);
  const engine = createHttpEngine({
    id: "dying",
    url: upstream.url,
    apiKey: undefined,
    headers: {},
    models: "any",
    headersTimeoutMs: 20_000,
    idleTimeoutMs: 20_000,
    transport,
  });
  const app = testApp({ engines: [entryOf(engine)] });
  await readStream(await app.post("/v1/chat/completions", chat("x", { stream: true })));
  await app.settled();
  expect(app.receipts).toMatchObject([
    { outcome: "upstream_error", source: "counted", usage: { completionTokens: 5 } },
  ]);
  await close();
});

function fetchStream(url: string): Promise<Response> {
  return fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(chat("x", { stream: true })),
  });
}
