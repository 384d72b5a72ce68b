import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, embedMany, generateText, streamText } from "ai";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { checkedFetch } from "../harness/oracle.ts";
import { startUpstream, type Upstream } from "../harness/upstream.ts";
import { answer, cutStream, inTurn, refusal } from "./replies.ts";
import {
  ASK,
  collect,
  describeServers,
  FRONTS,
  LONG,
  LONG_SAMPLING,
  MODEL,
  PROMPT,
  STARTUP_MS,
  stayOnLoopback,
  untilActive,
} from "./servers.ts";

stayOnLoopback();

const SETTINGS = {
  prompt: PROMPT,
  temperature: ASK.temperature,
  seed: ASK.seed,
  maxOutputTokens: ASK.max_completion_tokens,
  maxRetries: 0,
};

function providerOf(baseURL: string) {
  return createOpenAICompatible({ name: "sluice", baseURL, fetch: checkedFetch, includeUsage: true });
}

describeServers((server) => {
  const provider = () => providerOf(server.baseURL);
  const model = () => provider()(MODEL);

  describe("generateText", () => {
    it("gives text, finish reason and usage", async () => {
      const { text, finishReason, usage, response } = await generateText({ model: model(), ...SETTINGS });
      const { known } = server;
      expect(text).toBe(known.text);
      expect(finishReason).toBe(known.finish);
      expect(usage).toMatchObject({
        inputTokens: known.promptTokens,
        outputTokens: known.completionTokens,
        totalTokens: known.promptTokens + known.completionTokens,
      });
      expect(response.modelId).toBe(MODEL);
      expect(response.id).toMatch(/^chatcmpl-/);
    });

    it("takes instructions and a conversation", async () => {
      const { text, usage } = await generateText({
        model: model(),
        ...SETTINGS,
        prompt: [
          { role: "user", content: "Good morning." },
          { role: "assistant", content: "Good morning!" },
          { role: "user", content: [{ type: "text", text: PROMPT }] },
        ],
        instructions: "Answer in one sentence.",
      });
      expect(text).not.toBe("");
      expect(usage.inputTokens).toBeGreaterThan(server.known.promptTokens);
    });

    it("ends with length at maxOutputTokens", async () => {
      const { finishReason, usage } = await generateText({ model: model(), ...SETTINGS, maxOutputTokens: 1 });
      expect(finishReason).toBe("length");
      expect(usage.outputTokens).toBe(1);
    });

    it("throws APICallError with status and body for an unknown model", async () => {
      const call = generateText({ model: provider()("nobody"), ...SETTINGS });
      const failure = await call.catch((thrown: unknown) => thrown);
      if (!APICallError.isInstance(failure)) throw failure;
      expect(failure.statusCode).toBe(404);
      expect(failure.isRetryable).toBe(false);
      expect(failure.message).toContain("`nobody` does not exist");
      expect(failure.data).toMatchObject({ error: { code: "model_not_found", param: "model" } });
    });

    it("frees the engine when it is aborted", async () => {
      const abort = new AbortController();
      const call = generateText({
        model: model(),
        prompt: LONG,
        ...LONG_SAMPLING,
        maxRetries: 0,
        abortSignal: abort.signal,
      });
      const failure = call.catch((thrown: unknown) => thrown);
      await untilActive(server, (active) => active > 0);
      abort.abort();
      expect(await failure).toMatchObject({ name: "AbortError" });
      await untilActive(server, (active) => active === 0);
    });
  });

  describe("streamText", () => {
    it("streams the text in pieces, then finish reason and usage", async () => {
      const result = streamText({ model: model(), ...SETTINGS });
      const pieces = await collect(result.textStream);
      const { known } = server;
      expect(pieces.length).toBeGreaterThan(2);
      expect(pieces.join("")).toBe(known.text);
      expect(await result.finishReason).toBe(known.finish);
      expect(await result.usage).toMatchObject({
        inputTokens: known.promptTokens,
        outputTokens: known.completionTokens,
        totalTokens: known.promptTokens + known.completionTokens,
      });
    });

    it("streams its parts in order, without an error", async () => {
      const parts = await collect(streamText({ model: model(), ...SETTINGS }).stream);
      const types = parts.map(({ type }) => type).filter((type, i, all) => type !== all[i - 1]);
      expect(types).toEqual([
        "start",
        "start-step",
        "text-start",
        "text-delta",
        "text-end",
        "finish-step",
        "finish",
      ]);
    });

    it("has an error part with the status for an unknown model", async () => {
      const errors: unknown[] = [];
      const result = streamText({
        model: provider()("nobody"),
        ...SETTINGS,
        onError: ({ error }) => void errors.push(error),
      });
      expect(await collect(result.textStream)).toEqual([]);
      const [failure] = errors;
      if (!APICallError.isInstance(failure)) throw failure;
      expect(failure.statusCode).toBe(404);
    });

    it("frees the engine when it is aborted in mid-stream", async () => {
      const abort = new AbortController();
      const result = streamText({
        model: model(),
        prompt: LONG,
        ...LONG_SAMPLING,
        maxRetries: 0,
        abortSignal: abort.signal,
      });
      const types = new Set<string>();
      for await (const { type } of result.stream) {
        types.add(type);
        if (type === "text-delta") abort.abort();
      }
      expect(types).toContain("abort");
      expect(types).not.toContain("finish");
      await untilActive(server, (active) => active === 0);
    });
  });

  describe("embedMany", () => {
    const values = ["The sun is out.", "Rain until Monday."];

    it("gives a vector of length 1 a value, and the usage", async () => {
      const model = provider().embeddingModel(MODEL);
      const { embeddings, usage } = await embedMany({ model, values, maxRetries: 0 });
      expect(embeddings).toHaveLength(2);
      expect(embeddings[0]).not.toEqual(embeddings[1]);
      for (const vector of embeddings) expect(Math.hypot(...vector)).toBeCloseTo(1, 5);
      expect(usage.tokens).toBeGreaterThan(0);
    });

    it("throws APICallError for an empty value", async () => {
      const call = embedMany({ model: provider().embeddingModel(MODEL), values: [""], maxRetries: 0 });
      const failure = await call.catch((thrown: unknown) => thrown);
      if (!APICallError.isInstance(failure)) throw failure;
      expect(failure.statusCode).toBe(400);
    });
  });
});

describe.each(FRONTS)("$name in front of a scripted backend", ({ start }) => {
  let upstream: Upstream;
  let front: Awaited<ReturnType<typeof start>>;

  beforeAll(async () => {
    upstream = await startUpstream();
    front = await start({ backends: [{ id: "scripted", url: upstream.url, models: [MODEL] }] });
  }, STARTUP_MS);
  beforeEach(() => {
    upstream.requests.length = 0;
  });
  afterAll(async () => {
    await front.close();
    await upstream.close();
  });

  it("lets generateText retry 503 and 429 until there is an answer", async () => {
    const soon = { "retry-after-ms": "1" };
    upstream.play(inTurn(refusal(503, null, soon), refusal(429, "rate_limit_exceeded", soon), answer));
    const { text } = await generateText({
      model: providerOf(front.baseURL)(MODEL),
      ...SETTINGS,
      maxRetries: 2,
    });
    expect(text).toBe("At last");
    expect(upstream.requests).toHaveLength(3);
  });

  it("has an error part, and no finish, in a stream that the backend cut off", async () => {
    upstream.play(cutStream("One", " two"));
    const errors: unknown[] = [];
    const result = streamText({
      model: providerOf(front.baseURL)(MODEL),
      ...SETTINGS,
      onError: ({ error }) => void errors.push(error),
    });
    expect((await collect(result.textStream)).join("")).toBe("One two");
    expect(JSON.stringify(errors)).toContain("broke off in mid-stream");
    expect(upstream.requests).toHaveLength(1);
  });
});
