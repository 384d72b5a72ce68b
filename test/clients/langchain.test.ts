import { HumanMessage, SystemMessage } from "@langchain/core/messages";
import { ChatOpenAI, OpenAIEmbeddings } from "@langchain/openai";
import { describe, expect, it } from "vitest";
import { checkedFetch } from "../harness/oracle.ts";
import {
  ASK,
  collect,
  describeServers,
  LONG,
  LONG_SAMPLING,
  MODEL,
  PROMPT,
  stayOnLoopback,
  untilActive,
} from "./servers.ts";

stayOnLoopback();

const SEED = { seed: ASK.seed };

describeServers((server) => {
  const configuration = () => ({ baseURL: server.baseURL, fetch: checkedFetch });
  const chat = (model = MODEL, maxTokens = ASK.max_completion_tokens, temperature = ASK.temperature) =>
    new ChatOpenAI({
      model,
      apiKey: "none",
      temperature,
      maxTokens,
      maxRetries: 0,
      configuration: configuration(),
    });
  /** -1: as long as the model likes. */
  const endless = () => chat(MODEL, -1, LONG_SAMPLING.temperature);
  const embeddings = (model = MODEL) =>
    new OpenAIEmbeddings({ model, apiKey: "none", maxRetries: 0, configuration: configuration() });
  const usage = () => {
    const { promptTokens, completionTokens } = server.known;
    return {
      input_tokens: promptTokens,
      output_tokens: completionTokens,
      total_tokens: promptTokens + completionTokens,
    };
  };

  describe("ChatOpenAI", () => {
    it("invokes: text, finish reason and usage", async () => {
      const message = await chat().invoke(PROMPT, SEED);
      expect(message.content).toBe(server.known.text);
      expect(message.usage_metadata).toMatchObject(usage());
      expect(message.response_metadata).toMatchObject({
        finish_reason: server.known.finish,
        model_name: MODEL,
      });
      expect(message.id).toMatch(/^chatcmpl-/);
    });

    it("streams chunks that add up to the same message, usage included", async () => {
      const chunks = await collect(await chat().stream(PROMPT, SEED));
      const [first, ...rest] = chunks;
      const whole = rest.reduce((sum, chunk) => sum.concat(chunk), first ?? expect.unreachable());
      expect(chunks.length).toBeGreaterThan(4);
      expect(whole.content).toBe(server.known.text);
      expect(whole.usage_metadata).toMatchObject(usage());
      expect(whole.response_metadata).toMatchObject({ finish_reason: server.known.finish });
    });

    it("answers a batch in its order", async () => {
      const messages = await chat().batch([PROMPT, "Hello there.", PROMPT], SEED);
      const [first, second, third] = messages.map(({ content }) => content);
      expect([first, third]).toEqual([server.known.text, server.known.text]);
      expect(second).not.toBe(first);
    });

    it("takes a conversation with a system message", async () => {
      const messages = [new SystemMessage("Answer in one sentence."), new HumanMessage(PROMPT)];
      const message = await chat().invoke(messages, SEED);
      expect(message.content).not.toBe("");
      expect(message.usage_metadata?.input_tokens).toBeGreaterThan(server.known.promptTokens);
    });

    it("rejects with the status and the code for an unknown model", async () => {
      await expect(chat("nobody").invoke(PROMPT)).rejects.toMatchObject({
        status: 404,
        code: "model_not_found",
        lc_error_code: "MODEL_NOT_FOUND",
      });
    });

    it("rejects a stream of an unknown model", async () => {
      await expect(chat("nobody").stream(PROMPT)).rejects.toMatchObject({ status: 404 });
    });

    it("knows a context overflow when it sees one", async () => {
      await expect(chat(MODEL, 10_000_000).invoke(PROMPT)).rejects.toMatchObject({
        name: "ContextOverflowError",
      });
    });

    it("frees the engine when it is aborted in mid-stream", async () => {
      const abort = new AbortController();
      const reading = async () => {
        for await (const chunk of await endless().stream(LONG, { ...SEED, signal: abort.signal }))
          if (chunk.content !== "") abort.abort();
      };
      await expect(reading()).rejects.toThrow(/abort/i);
      await untilActive(server, (active) => active === 0);
    });

    it("frees the engine when it stops reading in mid-stream", async () => {
      for await (const _ of await endless().stream(LONG, SEED)) break;
      await untilActive(server, (active) => active === 0);
    });
  });

  describe("OpenAIEmbeddings", () => {
    it("embeds documents in their order, each as it is embedded alone", async () => {
      const texts = ["The sun is out.", "Rain until Monday."];
      const vectors = await embeddings().embedDocuments(texts);
      const alone = await embeddings().embedQuery("Rain until Monday.");
      expect(vectors).toHaveLength(2);
      expect(vectors[0]).not.toEqual(vectors[1]);
      expect(alone).toHaveLength(vectors[1]?.length ?? 0);
      for (const [i, value] of alone.entries()) expect(value).toBeCloseTo(vectors[1]?.[i] ?? Number.NaN, 5);
      expect(Math.hypot(...alone)).toBeCloseTo(1, 5);
    });

    it("rejects with the status for an unknown model", async () => {
      await expect(embeddings("nobody").embedQuery("Rain")).rejects.toMatchObject({ status: 404 });
    });
  });
});
