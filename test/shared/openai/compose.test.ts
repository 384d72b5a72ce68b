import { describe, expect, it } from "vitest";
import type { GenerateEvent, GenerateRequest } from "../../../shared/engine.ts";
import { type Generator, respondByGenerating } from "../../../shared/openai/compose.ts";
import { ApiError, contextLengthExceeded } from "../../../shared/openai/errors.ts";
import { chatCall, embeddingCall } from "../../harness/calls.ts";
import { chat, eventsOf, gate, type Json, readStream } from "../../harness/wire.ts";

/** Generates `words` for each choice in at most `room` sequences at a time, the others wait their turn. */
function roomed(
  words: readonly string[],
  room: number,
  beforeWord: (word: string) => Promise<void> = async () => {},
) {
  let free = room;
  let running = 0;
  let most = 0;
  const waiting: (() => void)[] = [];
  const requests: GenerateRequest[] = [];
  async function* generate(request: GenerateRequest): AsyncGenerator<GenerateEvent, void, void> {
    requests.push(request);
    while (free === 0) {
      const turn = Promise.withResolvers<void>();
      waiting.push(turn.resolve);
      request.signal.addEventListener("abort", () => turn.resolve(), { once: true });
      await turn.promise;
      request.signal.throwIfAborted();
    }
    free--;
    most = Math.max(most, ++running);
    try {
      request.counts.promptTokens = 10;
      request.counts.cachedTokens = 4;
      yield { type: "prompt" };
      for (const word of words) {
        await beforeWord(word);
        request.signal.throwIfAborted();
        request.counts.completionTokens++;
        yield { type: "text", text: word };
      }
      yield { type: "finish", reason: "stop" };
    } finally {
      free++;
      running--;
      waiting.shift()?.();
    }
  }
  const generator: Generator = { generate, fingerprint: "test", can: new Set() };
  return { generator, requests, free: () => free, most: () => most };
}

const ask = (engine: { generator: Generator }, body: Json = {}, signal?: AbortSignal) => {
  const call = chatCall("m", chat("x", body), signal);
  return { call, answer: respondByGenerating(call, engine.generator) };
};

describe("several choices", () => {
  it("stream side by side, none waiting for another to end", async () => {
    const engine = roomed(["a", "b", "c", "d"], 3);
    const { chunks } = await readStream(await ask(engine, { n: 3, stream: true }).answer);
    const order = chunks
      .flatMap(({ choices }) => choices)
      .filter(({ delta }) => typeof delta.content === "string" && delta.content !== "")
      .map(({ index, delta }) => `${delta.content}${index}`);
    expect(order).toEqual(["a", "b", "c", "d"].flatMap((word) => [`${word}0`, `${word}1`, `${word}2`]));
  });

  it.each([true, false])("more than the engine has room for take turns (stream: %s)", async (stream) => {
    const engine = roomed(["a", "b"], 2);
    const response = await ask(engine, { n: 5, stream }).answer;
    if (stream) {
      const { text, finish, isDone } = await readStream(response);
      expect([0, 1, 2, 3, 4].map((index) => text(index) + finish(index))).toEqual(Array(5).fill("abstop"));
      expect(isDone).toBe(true);
    } else {
      const body: Json = await response.json();
      expect(body.choices.map(({ message }: Json) => message.content)).toEqual(Array(5).fill("ab"));
    }
    expect([engine.most(), engine.free()]).toEqual([2, 2]);
  });

  it("count their prompt once and their completions all", async () => {
    const { call, answer } = ask(roomed(["a", "b"], 3), { n: 3 });
    const { usage }: Json = await (await answer).json();
    expect(usage).toMatchObject({ prompt_tokens: 10, completion_tokens: 6, total_tokens: 16 });
    expect(usage.prompt_tokens_details.cached_tokens).toBe(4);
    expect(call.report.read()).toEqual({
      usage: { promptTokens: 10, cachedTokens: 4, completionTokens: 6, reasoningTokens: 0 },
      source: "engine",
    });
  });

  it("draw from seeds of their own, that the client's seed fixes", async () => {
    const engine = roomed(["a"], 3);
    await ask(engine, { n: 3, seed: 2 ** 32 - 1 }).answer;
    await ask(engine, { n: 1, seed: -1 }).answer;
    expect(engine.requests.map(({ sampling }) => sampling.seed)).toEqual([2 ** 32 - 1, 0, 1, 2 ** 32 - 1]);
  });
});

describe("sequences are freed", () => {
  it("by an abort in mid-stream, those that wait their turn included", async () => {
    const held = gate();
    const engine = roomed(["a", "b"], 1, async (word) => (word === "b" ? held.opened : undefined));
    const abort = new AbortController();
    const { call, answer } = ask(engine, { n: 3, stream: true }, abort.signal);
    const events = eventsOf(await answer);
    for (let i = 0; i < 2; i++) await events.next();
    const next = events.next();
    abort.abort(new Error("left"));
    held.open();
    await expect(next).rejects.toThrow("left");
    expect(engine.free()).toBe(1);
    expect(call.report.read().usage.completionTokens).toBe(1);
  });

  it("by a cancel before the first read, with a token made at the most", async () => {
    const engine = roomed(["a", "b"], 2);
    const { call, answer } = ask(engine, { n: 3, stream: true });
    await (await answer).body?.cancel("left");
    expect(engine.free()).toBe(2);
    expect(call.report.read().usage.completionTokens).toBeLessThanOrEqual(1);
  });

  it("by a cancel while a read waits", async () => {
    const held = gate();
    const engine = roomed(["a", "b"], 2, async (word) => (word === "b" ? held.opened : undefined));
    const reader = (await ask(engine, { stream: true }).answer).body?.getReader();
    await reader?.read();
    await reader?.read();
    const cancelled = reader?.cancel("left");
    held.open();
    await cancelled;
    expect(engine.free()).toBe(2);
  });

  it("when one choice of several fails, streamed or not", async () => {
    for (const stream of [false, true]) {
      let calls = 0;
      const engine = roomed(["a", "b"], 3, async () => {
        if (++calls === 3) throw new ApiError(503, "out of memory");
      });
      const { call, answer } = ask(engine, { n: 3, stream });
      if (stream) {
        const { error, isDone } = await readStream(await answer);
        expect({ error, isDone }).toMatchObject({ error: { message: "out of memory" }, isDone: false });
        expect(call.report.failure).toMatchObject({ status: 503 });
      } else await expect(answer).rejects.toMatchObject({ status: 503 });
      await Promise.resolve();
      expect(engine.free()).toBe(3);
    }
  });
});

describe("a refusal", () => {
  it("before the first event is a rejection, not a stream", async () => {
    const refusal = contextLengthExceeded({ contextSize: 1, promptTokens: 2, param: "messages" });
    // biome-ignore lint/correctness/useYield: refuses before it has anything to yield
    const generate = async function* (): AsyncGenerator<GenerateEvent> {
      throw refusal;
    };
    const engine = { generator: { generate, fingerprint: "test", can: new Set<never>() } };
    for (const stream of [false, true])
      await expect(ask(engine, { stream, n: 2 }).answer).rejects.toBe(refusal);
  });

  it("for want of embeddings names the model", async () => {
    const { generator } = roomed([], 1);
    const call = embeddingCall("m", { input: "x" });
    await expect(respondByGenerating(call, generator)).rejects.toMatchObject({ status: 400, param: "model" });
  });
});

it("text is generated no faster than it is read", async () => {
  const engine = roomed(Array(50).fill("a"), 1);
  const { call, answer } = ask(engine, { stream: true });
  const events = eventsOf(await answer);
  for (let i = 0; i < 3; i++) await events.next();
  await new Promise((resolve) => setImmediate(resolve));
  expect(call.report.read().usage.completionTokens).toBeLessThanOrEqual(4);
  await events.return();
});
