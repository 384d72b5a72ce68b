import fc from "fast-check";
import { expect, test } from "vitest";
import { type ChatStream, createChatStreamReader, failureAtEnd } from "../../loadtest/chat-stream.ts";

const sse = (...events: readonly unknown[]): string =>
  events.map((event) => `data: ${typeof event === "string" ? event : JSON.stringify(event)}\n\n`).join("");
const delta = (fields: object, finish: string | null = null, rest: object = {}): object => ({
  choices: [{ index: 0, delta: fields, finish_reason: finish }],
  ...rest,
});
const usage = (completion: number) => ({ usage: { prompt_tokens: 5, completion_tokens: completion } });

/** Each text arrives one millisecond after the one before. */
function read(...texts: readonly string[]): ChatStream {
  const reader = createChatStreamReader({ collectsText: true });
  for (const [at, text] of texts.entries()) reader.feed(Buffer.from(text), at);
  return reader.stream;
}

test("the role chunk is no token, and neither are usage and finish", () => {
  const stream = read(
    sse(delta({ role: "assistant", content: "" })),
    sse(delta({ content: "你" })),
    sse(delta({ content: "好" })),
    sse(delta({}, "stop")),
    sse({ choices: [], ...usage(2) }, "[DONE]"),
  );
  expect(stream).toMatchObject({
    firstEventAt: 0,
    firstTokenAt: 1,
    lastTokenAt: 2,
    chunks: 2,
    gapsMs: [1],
    finish: "stop",
    usage: { prompt: 5, completion: 2 },
    hasUsageInChunks: false,
    text: "你好",
  });
  expect(failureAtEnd(stream)).toBeNull();
});

test("reasoning and tool calls are tokens; the first output comes after the reasoning", () => {
  const call = { tool_calls: [{ index: 0, function: { name: "f", arguments: "" } }] };
  const stream = read(
    sse(delta({ role: "assistant" })),
    sse(delta({ reasoning_content: "hm" })),
    sse(delta(call)),
    sse(delta({}, "tool_calls")),
  );
  expect(stream).toMatchObject({ firstTokenAt: 1, firstOutputAt: 2, chunks: 2 });
  expect(failureAtEnd(stream)).toBeNull();
});

test("a server that counts in every chunk gives the tokens of each", () => {
  const stream = read(
    sse(delta({ role: "assistant", content: "" }, null, usage(0))),
    sse(delta({ content: "a" }, null, usage(3))),
    sse(delta({ content: "b" }, null, usage(5))),
    sse(delta({}, "length", usage(5))),
  );
  expect(stream).toMatchObject({ chunkTokens: [3, 2], hasUsageInChunks: true, usage: { completion: 5 } });
});

test("usage that comes only with the last token counts nothing twice, and is no count of each chunk", () => {
  const stream = read(
    sse(delta({ content: "a" })),
    sse(delta({ content: "b" })),
    sse(delta({ content: "c" }, "stop", usage(3))),
  );
  expect(stream).toMatchObject({
    chunkTokens: [1, 1, 1],
    hasUsageInChunks: false,
    usage: { completion: 3 },
  });
});

test("however the bytes are split, the same is read", () => {
  const text = sse(
    delta({ role: "assistant", content: "" }),
    delta({ content: "机器学习 🙂" }),
    delta({ content: " is\r\n fun" }),
    delta({}, "stop"),
    { choices: [], ...usage(9) },
    "[DONE]",
  );
  const bytes = Buffer.from(text);
  const whole = read(text);
  fc.assert(
    fc.property(fc.array(fc.nat(bytes.length), { maxLength: 40 }), (cuts) => {
      const reader = createChatStreamReader({ collectsText: true });
      const at = [0, ...cuts.sort((a, b) => a - b), bytes.length];
      for (const [index, from] of at.slice(0, -1).entries())
        reader.feed(bytes.subarray(from, at[index + 1]), 0);
      expect({ ...reader.stream }).toEqual({ ...whole, oneWayMs: [] });
    }),
  );
});

test.each([
  ["stream_error", sse(delta({ content: "a" }), { error: { message: "out of memory" } }, "[DONE]")],
  ["truncated", sse(delta({ content: "a" }), "[DONE]")],
  ["empty_stream", sse(delta({ role: "assistant", content: "" }), delta({}, "stop"), "[DONE]")],
  ["bad_json", sse("{oh no")],
  ["bad_json", sse("null")],
])("a stream that fails as %s is no success", (kind, text) => {
  expect(failureAtEnd(read(text))?.kind).toBe(kind);
});

test("an error's words can't steer the terminal that shows them", () => {
  const stream = read(sse({ error: { message: "out of\u001b[2J\u0007memory\r\nand more" } }));
  expect(stream.failure?.error).toBe("out of [2J memory");
});
