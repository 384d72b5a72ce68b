import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readGgufFileInfo } from "node-llama-cpp";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createLlamaCppEngine } from "../../../runtime-node/engines/llama-cpp.ts";
import type { LlamaCppOptions } from "../../../runtime-node/engines/load-model.ts";
import type {
  GenerateEvent,
  GenerateRequest,
  GeneratingEngine,
  Prompt,
  Sampling,
} from "../../../shared/engine.ts";
import { embeddingCall, GREEDY } from "../../harness/calls.ts";
import { DEMO_MODEL, LONG_PROMPT, LONG_QUESTION } from "../../harness/demo-engine.ts";
import { MODEL } from "../../harness/wire.ts";

let directory: string;
let vocabulary: readonly string[];
/** Bans the tokens that would end the text. */
let endless: Map<number, number>;
const made: GeneratingEngine[] = [];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "sluice-llama-cpp-"));
  const { metadata } = await readGgufFileInfo(DEMO_MODEL, { sourceType: "filesystem" });
  vocabulary = metadata.tokenizer?.ggml.tokens ?? [];
  endless = new Map(vocabulary.flatMap((text, id) => (/^<\|.*\|>$/.test(text) ? [[id, -100]] : [])));
});
afterAll(async () => {
  for (const engine of made) await engine.close();
  await rm(directory, { recursive: true });
});

async function engineWith(options: Partial<LlamaCppOptions>, source = DEMO_MODEL): Promise<GeneratingEngine> {
  const engine = createEngine(options);
  await engine.initialize();
  await engine.loadModel(MODEL, source);
  return engine;
}

function createEngine(options: Partial<LlamaCppOptions>): GeneratingEngine {
  const quiet = () => {};
  const engine = createLlamaCppEngine({
    contextSize: 256,
    sequences: 2,
    threads: 1,
    prefillThreads: 1,
    cacheDir: directory,
    cpuBudget: 1,
    memoryBytes: 2 ** 32,
    gpu: false,
    log: { debug: quiet, info: quiet, warn: quiet },
    ...options,
  });
  made.push(engine);
  return engine;
}

const chat = (content: string): Prompt => ({
  kind: "chat",
  messages: [{ role: "user", content, name: undefined }],
});
const text = (content: string): Prompt => ({ kind: "text", text: content });

type Wish = Partial<Omit<GenerateRequest, "sampling">> & { readonly sampling?: Partial<Sampling> };

function request(prompt: Prompt, wish: Wish = {}): GenerateRequest {
  return {
    model: MODEL,
    maxTokens: 20,
    stop: [],
    signal: new AbortController().signal,
    counts: { promptTokens: 0, cachedTokens: 0, completionTokens: 0, reasoningTokens: 0 },
    ...wish,
    prompt,
    sampling: { ...GREEDY, ...wish.sampling },
  };
}

interface Answer {
  readonly text: string;
  readonly pieces: readonly string[];
  readonly finish: GenerateEvent | undefined;
  readonly counts: GenerateRequest["counts"];
}

async function answer(engine: GeneratingEngine, prompt: Prompt, wish: Wish = {}): Promise<Answer> {
  const wanted = request(prompt, wish);
  const pieces: string[] = [];
  let finish: GenerateEvent | undefined;
  for await (const event of engine.generate(wanted)) {
    if (event.type === "text") pieces.push(event.text);
    if (event.type === "finish") finish = event;
  }
  return { text: pieces.join(""), pieces, finish, counts: wanted.counts };
}

/** A generation that runs until it is aborted or read to its end. */
async function started(engine: GeneratingEngine, prompt: Prompt, wish: Wish = {}) {
  const abort = new AbortController();
  const wanted = request(prompt, {
    maxTokens: 200,
    ...wish,
    sampling: { logitBias: endless, ...wish.sampling },
    signal: abort.signal,
  });
  const events = engine.generate(wanted)[Symbol.asyncIterator]();
  expect(await events.next()).toEqual({ done: false, value: { type: "prompt" } });
  return { abort, events, counts: wanted.counts };
}

describe("64 streams at once", () => {
  it("write what each of them writes alone, greedy or sampled", async () => {
    const engine = await engineWith({ sequences: 64, prefillChunk: 64 });
    const wishes = Array.from({ length: 64 }, (_, i): [Prompt, Wish] => [
      i % 9 === 0
        ? { kind: "tokens", tokens: [40 + i] }
        : chat(`${"Tell me more. ".repeat(i % 13)}What is ${i} plus ${i}?`),
      {
        sampling: { temperature: i % 2 === 0 ? 0 : 1, seed: i, logitBias: endless },
        maxTokens: 10 + (i % 11),
      },
    ]);
    const together = await Promise.all(wishes.map(([prompt, wish]) => answer(engine, prompt, wish)));
    for (const [i, [prompt, wish]] of wishes.entries()) {
      const alone = await answer(engine, prompt, wish);
      expect({ i, text: together[i]?.text }).toEqual({ i, text: alone.text });
      expect(together[i]?.finish).toEqual({ type: "finish", reason: "length" });
    }
    expect(new Set(together.map((each) => each.text)).size).toBeGreaterThan(20);
    expect(engine.status().details.reproducible).toBe(true);
  });
});

describe("one engine", () => {
  let engine: GeneratingEngine;
  beforeAll(async () => {
    engine = await engineWith({ prefillChunk: 16 });
  });

  it("computes of a prompt it has seen only the last token", async () => {
    const first = await answer(engine, chat("Say it once more."));
    const again = await answer(engine, chat("Say it once more."));
    expect(first.counts.cachedTokens).toBeLessThan(first.counts.promptTokens - 1);
    expect(again.counts).toEqual({ ...first.counts, cachedTokens: first.counts.promptTokens - 1 });
    expect(again.text).toBe(first.text);
  });

  it("counts the end token, which has no text", async () => {
    const { finish, counts, pieces } = await answer(engine, chat(LONG_QUESTION), { maxTokens: 100 });
    expect(finish).toEqual({ type: "finish", reason: "stop" });
    const shorter = await answer(engine, chat(LONG_QUESTION), { maxTokens: counts.completionTokens - 1 });
    expect(shorter.finish).toEqual({ type: "finish", reason: "length" });
    expect(shorter.text).toBe(pieces.join(""));
  });

  it("gives the same text for the same seed, and another for another", async () => {
    const sampled = (seed: number) =>
      answer(engine, text("a"), { sampling: { temperature: 1.5, seed, logitBias: endless } });
    const [a, again, b] = [await sampled(5), await sampled(5), await sampled(6)];
    expect(again.text).toBe(a.text);
    expect(b.text).not.toBe(a.text);
  });

  it("draws from the best only where top-k says so", async () => {
    const draw = (sampling: Partial<Sampling>) =>
      answer(engine, text("a"), { sampling: { temperature: 2, logitBias: endless, ...sampling } });
    const greedy = await draw({ temperature: 0 });
    expect((await draw({ topK: 1 })).text).toBe(greedy.text);
    expect((await draw({ topK: 0 })).text).not.toBe(greedy.text);
  });

  it("renders the model's own template: the same prompt as its text", async () => {
    const asChat = await answer(engine, chat(LONG_QUESTION));
    const asText = await answer(engine, text(LONG_PROMPT));
    expect(asChat.counts.promptTokens).toBe(asText.counts.promptTokens);
    expect(asChat.text).toBe(asText.text);
  });

  it("reads control tokens in a message as text, and in a prompt as control tokens", async () => {
    const spelled = "<|im_end|>";
    const [none, one] = [await answer(engine, chat("ab")), await answer(engine, chat(`a${spelled}b`))];
    expect(one.counts.promptTokens).toBeGreaterThan(none.counts.promptTokens + 3);
    const [plain, control] = [await answer(engine, text("ab")), await answer(engine, text(`a${spelled}b`))];
    expect(control.counts.promptTokens).toBeLessThanOrEqual(plain.counts.promptTokens + 2);
  });

  it("never splits a character over pieces", async () => {
    const halves = new Map(
      vocabulary.flatMap((text, id) => (text === "Ã" || text === "©" ? [[id, 100]] : [])),
    );
    expect(halves.size).toBe(2);
    const sampling = { temperature: 2, logitBias: halves, frequencyPenalty: 2 };
    const { pieces } = await answer(engine, text("a"), { maxTokens: 60, sampling });
    expect(pieces).toContain("é");
    expect(pieces.every((piece) => piece.isWellFormed())).toBe(true);
  });

  it("stops at a stop string that is spread over tokens, and sends nothing of it", async () => {
    const whole = await answer(engine, chat(LONG_QUESTION));
    const stop = whole.text.slice(9, 17);
    const { text, finish, counts } = await answer(engine, chat(LONG_QUESTION), { stop: ["never", stop] });
    expect(text).toBe(whole.text.slice(0, whole.text.indexOf(stop)));
    expect(finish).toEqual({ type: "finish", reason: "stop", stopSequence: stop });
    expect(counts.completionTokens).toBeLessThan(whole.counts.completionTokens);
  });

  it("sends at the end what might have become a stop string", async () => {
    const whole = await answer(engine, chat(LONG_QUESTION));
    const { text, finish } = await answer(engine, chat(LONG_QUESTION), {
      stop: [`${whole.text.at(-1)}never`],
    });
    expect(text).toBe(whole.text);
    expect(finish).toEqual({ type: "finish", reason: "length" });
  });

  it("ends with `length` when the context is full, and has dropped nothing", async () => {
    const wish = { maxTokens: undefined, sampling: { logitBias: endless } };
    const { finish, counts } = await answer(engine, chat("Go on."), wish);
    expect(finish).toEqual({ type: "finish", reason: "length" });
    expect(counts.promptTokens + counts.completionTokens).toBe(256);
    const again = await answer(engine, chat("Go on."), wish);
    expect(again.counts).toEqual({ ...counts, cachedTokens: counts.promptTokens - 1 });
  });

  it.each<[string, Prompt, number | undefined, object]>([
    [
      "a prompt as long as the context",
      { kind: "tokens", tokens: Array(256).fill(50) },
      undefined,
      { param: "prompt" },
    ],
    [
      "a prompt without room for the completion",
      text("a"),
      256,
      { message: expect.stringContaining("256 tokens") },
    ],
    ["a chat that is too long", chat("long ".repeat(300)), 1, { param: "messages" }],
  ])("refuses %s", async (_, prompt, maxTokens, error) => {
    await expect(answer(engine, prompt, { maxTokens })).rejects.toMatchObject({
      status: 400,
      code: "context_length_exceeded",
      ...error,
    });
  });

  it("takes a prompt that fills the context but for one token", async () => {
    const { counts } = await answer(
      engine,
      { kind: "tokens", tokens: Array(255).fill(50) },
      { maxTokens: undefined },
    );
    expect(counts).toMatchObject({ promptTokens: 255, completionTokens: 1 });
  });

  it("refuses token ids that the model doesn't have", async () => {
    const unknown = { kind: "tokens", tokens: [1, 99_999] } as const;
    await expect(answer(engine, unknown)).rejects.toMatchObject({ status: 400, param: "prompt" });
    const biased = answer(engine, text("a"), { sampling: { logitBias: new Map([[99_999, 1]]) } });
    await expect(biased).rejects.toMatchObject({ status: 400, param: "logit_bias" });
  });

  it("computes only the prompt for no tokens, and begins an empty one with a token of its own", async () => {
    const none = await answer(engine, text("Hello there"), { maxTokens: 0 });
    expect(none).toMatchObject({ text: "", finish: { reason: "length" }, counts: { completionTokens: 0 } });
    expect(none.counts.promptTokens).toBeGreaterThan(0);
    expect((await answer(engine, text(""))).counts.promptTokens).toBe(1);
  });

  it("bans, forces and penalises tokens", async () => {
    const id = (spelling: string) => vocabulary.indexOf(spelling);
    const both = new Map([
      [id("x"), 100],
      [id("y"), 100],
    ]);
    const free = await answer(engine, text("x"), { maxTokens: 12, sampling: { logitBias: both } });
    expect(free.text).toMatch(/^[xy]{12}$/);
    const often = free.text[0] === "x" ? "x" : "y";
    const banned = new Map([...both, [id(often), -100]]);
    const other = await answer(engine, text("x"), { maxTokens: 12, sampling: { logitBias: banned } });
    expect(other.text).not.toContain(often);
    const penalty = { logitBias: both, frequencyPenalty: 2 };
    const balanced = await answer(engine, text("x"), { maxTokens: 40, sampling: penalty });
    expect(new Set(balanced.text)).toEqual(new Set(["x", "y"]));
  });

  it("counts up to the last token made when it is aborted, and not beyond", async () => {
    const { abort, events, counts } = await started(engine, chat(LONG_QUESTION));
    let seen = "";
    for (let pieces = 0; pieces < 7; pieces++) {
      const { value } = await events.next();
      if (value?.type === "text") seen += value.text;
    }
    abort.abort(new Error("left"));
    await expect(events.next()).rejects.toThrow("left");
    expect(engine.status()).toMatchObject({ active: 0, queued: 0 });
    const { completionTokens } = counts;
    expect(completionTokens).toBeGreaterThanOrEqual(7);
    const whole = await answer(engine, chat(LONG_QUESTION), {
      maxTokens: completionTokens,
      sampling: { logitBias: endless },
    });
    expect(whole.text.startsWith(seen)).toBe(true);
    expect(counts.completionTokens).toBe(completionTokens);
    expect(whole.counts.completionTokens).toBe(completionTokens);
  });

  it("lets the streams beside a long prompt have a token after each piece of it", async () => {
    const stream = await started(engine, chat("Count."), { maxTokens: 150 });
    const before = stream.counts.completionTokens;
    const prompt: Prompt = { kind: "tokens", tokens: Array.from({ length: 200 }, (_, i) => 60 + i) };
    const long = await started(engine, prompt, { maxTokens: 1 });
    expect(stream.counts.completionTokens - before).toBeGreaterThanOrEqual(200 / 16 - 2);
    long.abort.abort();
    stream.abort.abort();
    await Promise.allSettled([long.events.next(), stream.events.next()]);
  });

  it("makes embeddings of length 1, the same for the same input, and refuses one that is too long", async () => {
    const embed = async (input: unknown) =>
      (await engine.respond(embeddingCall(MODEL, { input, encoding_format: "float" }))).json();
    const { data, usage } = await embed(["a cat", "a cat", "the price of a token"]);
    const [first, again, other] = data.map((each: { embedding: number[] }) => each.embedding);
    expect(Math.hypot(...first)).toBeCloseTo(1, 5);
    expect(again).toEqual(first);
    expect(other).not.toEqual(first);
    expect(usage.prompt_tokens).toBeGreaterThan(3);
    await expect(embed("long ".repeat(3000))).rejects.toMatchObject({
      code: "context_length_exceeded",
      param: "input",
    });
    await expect(embed([99_999])).rejects.toMatchObject({ status: 400, param: "input" });
  });
});

describe("the line for a sequence", () => {
  it("is left at once by an abort, refuses beyond its limit, and goes on when a sequence is free", async () => {
    const engine = await engineWith({ queueLimit: 1 });
    const running = await Promise.all([started(engine, chat("one")), started(engine, chat("two"))]);
    const waiting = request(chat("three"), { signal: new AbortController().signal });
    const third = engine.generate(waiting)[Symbol.asyncIterator]();
    const thirdPrompt = third.next();
    expect(engine.status()).toMatchObject({ active: 2, queued: 1 });
    await expect(answer(engine, chat("four"))).rejects.toMatchObject({
      status: 429,
      retryAfterMs: expect.any(Number),
    });
    running[0].abort.abort(new Error("left"));
    expect(await thirdPrompt).toEqual({ done: false, value: { type: "prompt" } });

    const abort = new AbortController();
    const fifth = request(chat("five"), { signal: abort.signal });
    const fifthPrompt = engine.generate(fifth)[Symbol.asyncIterator]().next();
    expect(engine.status().queued).toBe(1);
    abort.abort(new Error("left too"));
    expect(engine.status().queued).toBe(0);
    await expect(fifthPrompt).rejects.toThrow("left too");
    expect(fifth.counts.promptTokens).toBe(0);
    await third.return?.();
    await running[1].events.return?.();
    expect(engine.status()).toMatchObject({ active: 0, queued: 0 });
  });
});

describe("loading", () => {
  afterEach(async () => {
    for (const engine of made.splice(0)) await engine.close();
  });

  it("measures threads once for a model and a machine, and keeps configured ones", async () => {
    const own = { threads: undefined, prefillThreads: undefined, cacheDir: join(directory, "calibration") };
    const calibration = async (options: Partial<LlamaCppOptions>) =>
      (await engineWith({ ...own, ...options })).status().details;
    expect(await calibration({})).toMatchObject({ calibration: "measured", threads: 1, prefillThreads: 1 });
    expect(await calibration({})).toMatchObject({ calibration: "cached", threads: 1 });
    expect(await calibration({ threads: 2 })).toMatchObject({ calibration: "measured", threads: 2 });
  });

  it("serves several models, each with sequences of its own", async () => {
    const engine = await engineWith({});
    await engine.loadModel("second", DEMO_MODEL);
    const [a, b] = await Promise.all([
      answer(engine, chat(LONG_QUESTION)),
      answer(engine, chat(LONG_QUESTION), { model: "second" }),
    ]);
    expect(b.text).toBe(a.text);
    expect((await engine.models(new AbortController().signal)).map(({ id }) => id)).toEqual([
      MODEL,
      "second",
    ]);
  });

  it("says what is wrong with a file, and goes on", async () => {
    const engine = createEngine({});
    await engine.initialize();
    const path = join(directory, "model.bin");
    await writeFile(path, "PK not a model");
    await expect(engine.loadModel(MODEL, path)).rejects.toThrow(/not in GGUF format/);
    await expect(engine.loadModel(MODEL, join(directory, "nowhere.gguf"))).rejects.toThrow(/can't be opened/);
    expect(engine.status()).toMatchObject({
      state: "failed",
      reason: expect.stringContaining("nowhere.gguf"),
    });
    await writeFile(path, "GGUF and then nothing of it");
    await expect(engine.loadModel(MODEL, path)).rejects.toThrow(/broken GGUF/);
    await writeFile(path, (await readFile(DEMO_MODEL)).subarray(0, 2 ** 20));
    await expect(engine.loadModel(MODEL, path)).rejects.toThrow(/can't load/);
    await engine.loadModel(MODEL, DEMO_MODEL);
    expect(engine.status().state).toBe("ready");
  });

  it("says how much memory a model needs and how much there is", async () => {
    const engine = createEngine({ memoryBytes: 300 * 2 ** 20, contextSize: 2048, sequences: 64 });
    await expect(engine.loadModel(MODEL, DEMO_MODEL)).rejects.toThrow(
      /needs at least \d+ MiB .* 44.0 MiB are free/,
    );
  });

  it("fits sequences to the memory there is when nothing is configured", async () => {
    const engine = await engineWith({
      memoryBytes: 360 * 2 ** 20,
      contextSize: undefined,
      sequences: undefined,
    });
    const { contextSize, sequences } = engine.status().details;
    expect(contextSize).toBe(2048);
    expect(sequences).toBeGreaterThanOrEqual(4);
    expect(sequences).toBeLessThan(64);
  });
});
