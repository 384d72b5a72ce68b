import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Edge, startEdge } from "../harness/edge.ts";
import { checkedFetch } from "../harness/oracle.ts";
import {
  answerJson,
  answerOf,
  answerStream,
  answerText,
  chunkOf,
  startUpstream,
  type Upstream,
} from "../harness/upstream.ts";
import { chat, eventsOf, readStream } from "../harness/wire.ts";

let edge: Edge;
let upstream: Upstream;
const LIMITS = { headersTimeoutMs: 1000, idleTimeoutMs: 1000 };
beforeAll(async () => {
  upstream = await startUpstream();
  const gone = await startUpstream();
  await gone.close();
  edge = await startEdge(
    {
      // A client that closed its connection is noticed at the next write: without tokens, at the next comment.
      limits: { keepAliveMs: 100 },
      backends: [
        // biome-ignore lint/suspicious/noTemplateCurlyInString: a reference to a binding, as sluice.yaml has it
        { id: "gpu", url: upstream.url, apiKey: "${BACKEND_KEY}", models: ["sluice-demo"], ...LIMITS },
        { id: "gone", url: gone.url, models: ["gone"] },
      ],
    },
    { BACKEND_KEY: "sk-bound" },
  );
});
afterAll(async () => {
  await edge.close();
  await upstream.close();
});

const post = (body: unknown, init: RequestInit = {}) =>
  checkedFetch(`${edge.baseURL}/chat/completions`, {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "content-type": "application/json" },
    ...init,
  });
const TEXT = [chunkOf({ role: "assistant", content: "" }), chunkOf({ content: "a" })];

describe("the Worker before a backend, by workerd's own fetch", () => {
  it("sends the key of its binding, and answers with the backend's answer", async () => {
    upstream.play(answerJson(200, answerOf("hi")));
    expect(await (await post(chat("x"))).json()).toMatchObject({ model: "sluice-demo" });
    expect(upstream.requests.at(-1)?.headers.authorization).toBe("Bearer sk-bound");
    expect(edge.logs.join("\n")).not.toContain("sk-bound");
  });

  it("never follows a redirect with its key: 502, as on the host", async () => {
    const elsewhere = await startUpstream(answerJson(200, answerOf("stolen")));
    upstream.play(answerText(307, "", { location: `${elsewhere.url}/chat/completions` }));
    expect((await post(chat("x"))).status).toBe(502);
    expect(elsewhere.requests).toHaveLength(0);
    await elsewhere.close();
  });

  it("is 502 for a backend that can't be reached, or closes before its headers", async () => {
    expect((await post(chat("x", { model: "gone" }))).status).toBe(502);
    upstream.play((response) => void response.destroy());
    expect((await post(chat("x"))).status).toBe(502);
  });

  it("is 504 for headers that take too long, and closes the connection", async () => {
    upstream.play(() => {});
    const asked = upstream.next();
    const response = await post(chat("x"));
    expect(response.status).toBe(504);
    expect((await response.json()).error).toMatchObject({ type: "server_error", code: "timeout" });
    await (await asked).closed;
  });

  it.each([
    ["breaks off", "destroy", null],
    ["falls silent", "hang", "timeout"],
  ] as const)("ends a stream that %s in one error event", async (_, end, code) => {
    upstream.play(answerStream(TEXT, end));
    const { text, error, isDone } = await readStream(await post(chat("x", { stream: true })));
    expect(text()).toBe("a");
    expect(error).toMatchObject({ type: "server_error", code });
    expect(isDone).toBe(false);
  });

  it("closes the backend's connection when its client leaves in mid-stream", async () => {
    upstream.play(async (response, request) => {
      await answerStream(TEXT, "hang")(response, request);
      // Not silent, so that only the client's leaving can end it.
      const beat = setInterval(() => response.write(": beat\n\n"), 50);
      response.once("close", () => clearInterval(beat));
    });
    const asked = upstream.next();
    for await (const _ of eventsOf(await post(chat("x", { stream: true })))) break; // At its first event.
    await (await asked).closed;
  });
});
