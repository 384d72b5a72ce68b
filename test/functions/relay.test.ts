import { describe, expect, it, vi } from "vitest";
import { relayStream } from "../../functions/backends/relay.ts";
import { chatCall } from "../harness/calls.ts";
import { expectSchema } from "../harness/oracle.ts";
import { chunkOf } from "../harness/upstream.ts";
import { chat, type Json, readStream } from "../harness/wire.ts";

const USAGE = { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 };
const USAGE_CHUNK = { ...chunkOf({}), choices: [], usage: USAGE };
const OPENING = chunkOf({ role: "assistant", content: "" });
const TEXT = [OPENING, chunkOf({ content: "a" }), chunkOf({ content: "b" })];
const OTHER = { ...OPENING, choices: [{ ...OPENING.choices[0], index: 1 }] };
const FINISH = chunkOf({}, "stop");
const ASKED = { stream: true, stream_options: { include_usage: true } };

/** Relays these events, as one piece or each character by itself. */
function relay(events: readonly unknown[], body: Json = { stream: true }, more: Json = {}) {
  const call = chatCall("backend-model", chat("x", body));
  const encoder = new TextEncoder();
  const text = events
    .map((event) => `data: ${typeof event === "string" ? event : JSON.stringify(event)}\n\n`)
    .join("");
  const bytes = (async function* () {
    for (const character of text) yield encoder.encode(character);
    if (more.thenThrow !== undefined) throw more.thenThrow;
  })();
  const ends = vi.fn();
  const abort = new AbortController();
  const withoutKey = (text: string) => text.replaceAll("sk-backend", "***");
  const options = { backend: "gpu", abort, idleTimeoutMs: 60_000, withoutKey, onEnd: ends, ...more };
  return { call, abort, ends, response: relayStream(call, more.bytes ?? bytes, options) };
}

describe("a relayed stream", () => {
  it("carries the client's model name, and ends in [DONE]", async () => {
    const { response, ends } = relay([...TEXT, FINISH, "[DONE]"]);
    const { chunks, isDone, text } = await readStream(response);
    expect([text(), isDone]).toEqual(["ab", true]);
    for (const chunk of chunks) expect(chunk.model).toBe("asked-for");
    expect(ends).toHaveBeenCalled();
  });

  it("passes a chunk that needs no change as the bytes it came in", async () => {
    const odd = '{"model":"asked-for",  "id":"1","choices":[{"index":0,"delta":{"content":"a"},"x":1.0}]}';
    const { response } = relay([odd, { ...FINISH, model: "asked-for" }, "[DONE]"]);
    expect(await response.text()).toContain(`data: ${odd}\n\n`);
  });

  it("keeps the usage when the client asked, and counts by it", async () => {
    const { call, response } = relay([...TEXT, FINISH, USAGE_CHUNK, "[DONE]"], ASKED);
    const { chunks } = await readStream(response);
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: USAGE });
    for (const chunk of chunks) expectSchema("CreateChatCompletionStreamResponse", chunk);
    expect(call.report.read()).toMatchObject({
      source: "engine",
      usage: { promptTokens: 3, completionTokens: 2 },
    });
  });

  it.each([
    ["every chunk", [...TEXT, FINISH].map((chunk) => ({ ...chunk, usage: USAGE }))],
    ["the last chunk", [...TEXT, { ...FINISH, usage: USAGE }]],
  ])(
    "tells a client that asked once, in a chunk of its own, where the usage was in %s",
    async (_, events) => {
      const { response } = relay([...events, "[DONE]"], ASKED);
      const { chunks, isDone } = await readStream(response);
      expect(isDone).toBe(true);
      expect(chunks.map(({ usage }) => usage)).toEqual([null, null, null, null, USAGE]);
      expect(chunks.at(-1)?.choices).toEqual([]);
      for (const chunk of chunks) expectSchema("CreateChatCompletionStreamResponse", chunk);
    },
  );

  it.each([
    ["a chunk of its own", [...TEXT, FINISH, USAGE_CHUNK]],
    [
      "every chunk, as vLLM does when asked for it",
      [...TEXT, FINISH].map((chunk) => ({ ...chunk, usage: USAGE })),
    ],
    ["the last chunk, as some do", [...TEXT, { ...FINISH, usage: USAGE }]],
  ])("hides usage in %s when the client did not ask, and counts by it", async (_, events) => {
    const { call, response } = relay([...events, "[DONE]"]);
    const { chunks, text, finish } = await readStream(response);
    expect([text(), finish()]).toEqual(["ab", "stop"]);
    expect(chunks.every((chunk) => !("usage" in chunk))).toBe(true);
    expect(chunks.every(({ choices }) => choices.length > 0)).toBe(true);
    expect(call.report.read()).toMatchObject({ source: "engine", usage: { completionTokens: 2 } });
  });

  it("counts tokens, not the role and not the finish, where a backend tells no usage", async () => {
    const reasoning = chunkOf({ reasoning_content: "hm" });
    const tool = chunkOf({ tool_calls: [{ index: 0, function: { arguments: "{" } }] });
    const { call, response } = relay([...TEXT, reasoning, tool, FINISH, "[DONE]"]);
    await readStream(response);
    expect(call.report.read()).toMatchObject({ source: "counted", usage: { completionTokens: 4 } });
  });

  it("counts what came after the last usage, where a stream ends before the next", async () => {
    const opening = { ...OPENING, usage: { prompt_tokens: 9, completion_tokens: 0, total_tokens: 9 } };
    const { call, response } = relay([opening, ...TEXT.slice(1)]);
    expect((await readStream(response)).error).toBeDefined();
    expect(call.report.read()).toMatchObject({
      source: "counted",
      usage: { promptTokens: 9, completionTokens: 2 },
    });
  });

  it("fills in what peers leave out of their chunks", async () => {
    const bare = {
      ...OPENING,
      system_fingerprint: null,
      choices: [{ index: 0, delta: { content: "a" }, finish_reason: null }],
    };
    const { chunks } = await readStream(relay([bare, FINISH, "[DONE]"]).response);
    expect(chunks[0]).not.toHaveProperty("system_fingerprint");
    expect(chunks[0].choices[0]).toMatchObject({ logprobs: null });
    expectSchema("CreateChatCompletionStreamResponse", chunks[0]);
  });

  it("is ended properly for a backend that forgets its [DONE]", async () => {
    const { isDone, error } = await readStream(relay([...TEXT, FINISH]).response);
    expect({ isDone, error }).toEqual({ isDone: true, error: undefined });
  });
});

describe("a stream that breaks", () => {
  it.each([
    ["ends without a finish", [...TEXT], {}],
    ["throws", [...TEXT], { thenThrow: new Error("socket hang up at 10.0.0.5") }],
    ["turns into something that is not JSON", [...TEXT, "{oops"], {}],
    ["finishes only one of its choices", [...TEXT, OTHER, FINISH], {}],
  ])("because it %s ends in one error event without [DONE]", async (_, events, more: Json) => {
    const { call, response, ends } = relay(events, { stream: true, n: 2 }, more);
    const { error, isDone, text } = await readStream(response);
    expect(text()).toBe("ab");
    expect(error).toEqual({
      message: "The backend `gpu` broke off in mid-stream.",
      type: "server_error",
      param: null,
      code: null,
    });
    expect(isDone).toBe(false);
    expect(call.report.failure).toMatchObject({ status: 502 });
    expect(call.report.read()).toMatchObject({ source: "counted", usage: { completionTokens: 2 } });
    expect(ends).toHaveBeenCalled();
  });

  it("with an error event of its own passes the message on, its code a string or null", async () => {
    const failure = { error: { message: "out of memory", type: "InternalServerError", code: 500 } };
    const { error, isDone } = await readStream(relay([...TEXT, failure, "[DONE]"]).response);
    expect(error).toEqual({ message: "out of memory", type: "InternalServerError", param: null, code: null });
    expect(isDone).toBe(false);
  });

  it("with an error event that holds our key tells it to nobody", async () => {
    const failure = { error: { message: "no such key: sk-backend", type: "sk-backend" } };
    const { call, response } = relay([...TEXT, failure, "[DONE]"]);
    const { error } = await readStream(response);
    expect(error.message).toBe("no such key: ***");
    expect(`${JSON.stringify(error)} ${JSON.stringify(call.report.failure)}`).not.toContain("sk-backend");
  });

  it("is not what a client causes that reads slowly", async () => {
    vi.useFakeTimers();
    try {
      const { response, ends, abort } = relay(
        [...TEXT, FINISH, "[DONE]"],
        { stream: true },
        { idleTimeoutMs: 1000 },
      );
      const reader = response.body?.getReader();
      await reader?.read();
      await vi.advanceTimersByTimeAsync(10_000);
      let text = "";
      for (let step = await reader?.read(); step?.done === false; step = await reader?.read())
        text += new TextDecoder().decode(step.value);
      expect(text).toMatch(/data: \[DONE\]\n\n$/);
      expect(text).not.toContain('"error"');
      expect(abort.signal.aborted).toBe(false);
      expect(ends).toHaveBeenCalled();
    } finally {
      vi.useRealTimers();
    }
  });

  it("is not what a backend does that sends comments meanwhile", async () => {
    vi.useFakeTimers();
    try {
      const encoder = new TextEncoder();
      const bytes = (async function* () {
        for (let i = 0; i < 10; i++) {
          await new Promise((resolve) => setTimeout(resolve, 700));
          yield encoder.encode(": ping\n\n");
        }
        for (const chunk of [...TEXT, FINISH]) yield encoder.encode(`data: ${JSON.stringify(chunk)}\n\n`);
      })();
      const { response, abort } = relay([], { stream: true }, { bytes, idleTimeoutMs: 1000 });
      const read = readStream(response);
      await vi.advanceTimersByTimeAsync(10_000);
      expect(await read).toMatchObject({ isDone: true, error: undefined });
      expect(abort.signal.aborted).toBe(false);
    } finally {
      vi.useRealTimers();
    }
  });

  it("with silence beyond the limit ends in a timeout, and the connection is closed", async () => {
    vi.useFakeTimers();
    try {
      const abort = new AbortController();
      const bytes = (async function* () {
        yield new TextEncoder().encode(`data: ${JSON.stringify(TEXT[1])}\n\n`);
        await new Promise((_, reject) => {
          abort.signal.addEventListener("abort", () => reject(abort.signal.reason));
        });
      })();
      const { call, response } = relay([], { stream: true }, { abort, bytes, idleTimeoutMs: 1000 });
      const read = readStream(response);
      await vi.advanceTimersByTimeAsync(2000);
      const { error, text } = await read;
      expect(text()).toBe("a");
      expect(error).toMatchObject({ code: "timeout", message: expect.stringContaining("1000 ms") });
      expect(call.report.failure?.status).toBe(504);
      expect(abort.signal.aborted).toBe(true);
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });
});
