import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Engine, GenerateEvent, GeneratingEngine } from "../../shared/engine.ts";
import { ApiError } from "../../shared/openai/errors.ts";
import { readUsage } from "../../shared/openai/usage.ts";
import { chatCall, completionCall, embeddingCall, textGeneration } from "../harness/calls.ts";
import { expectSchema } from "../harness/oracle.ts";
import { chat, eventsOf, eventually, type Json, piecesOf, readStream } from "../harness/wire.ts";

export interface EngineUnderTest {
  /** Made, nothing else: not initialised, no model loaded. */
  readonly engine: Engine;
  readonly model: string;
  readonly source: string;
  /** A user message whose answer is 20 tokens at the least. */
  readonly longAnswer: string;
  /** A bare prompt that is completed by 20 tokens at the least. */
  readonly longPrompt: string;
  /** A user message that does not fit into the context. */
  readonly tooLong: string;
  /** Ends what stands behind the engine. */
  readonly close?: () => Promise<void>;
}

export interface EngineTraits {
  /** Models are loaded into this process: without `loadModel` there is nothing to answer with, and `generate` is there. */
  readonly isLocal: boolean;
  /** A source that can't be loaded, where there is one. */
  readonly badSource?: string;
  /** How long a start with its load may take, in ms. */
  readonly loadMs?: number;
}

/** Every promise of `shared/engine.ts`. */
export function engineContract(
  name: string,
  { isLocal, badSource, loadMs = 60_000 }: EngineTraits,
  makeEngine: () => Promise<EngineUnderTest>,
): void {
  describe(`${name} keeps the engine's promises`, () => {
    const made: EngineUnderTest[] = [];
    const make = async () => {
      const each = await makeEngine();
      made.push(each);
      return each;
    };
    let shared: EngineUnderTest;
    beforeAll(async () => {
      shared = await make();
      await shared.engine.initialize();
      await shared.engine.loadModel(shared.model, shared.source);
    }, loadMs);
    afterAll(async () => {
      for (const { engine, close } of made) {
        await engine.close();
        await close?.();
      }
    }, loadMs);
    const isIdle = () =>
      eventually(() => expect(shared.engine.status()).toMatchObject({ active: 0, queued: 0 }));
    const ask = (more: Record<string, unknown> = {}, signal?: AbortSignal) => {
      const call = chatCall(shared.model, { ...chat(shared.longAnswer), max_tokens: 20, ...more }, signal);
      return { call, answer: shared.engine.respond(call) };
    };

    describe("before its first call", () => {
      it("names itself, and tells its status without throwing", () => {
        expect(shared.engine.id).toMatch(/^\S+$/);
        expectStatus(shared.engine);
      });

      it("may be initialised twice", async () => {
        await shared.engine.initialize();
        expect(shared.engine.isModelLoaded(shared.model)).toBe(true);
      });

      it("knows what it serves", async () => {
        const models = await shared.engine.models(new AbortController().signal);
        const model = models.find(({ id }) => id === shared.model);
        expect(model).toMatchObject({ created: expect.any(Number), ownedBy: expect.any(String) });
        if (isLocal) expect(model?.contextSize).toBeGreaterThan(0);
      });
    });

    describe("respond", () => {
      it("answers a chat as OpenAI does, with its exact usage in the report", async () => {
        const { call, answer } = ask();
        const body = await (await answer).json();
        expectSchema("CreateChatCompletionResponse", body);
        expect(body.model).toBe(call.body.model);
        expect(call.report.read()).toEqual({ usage: readUsage(body), source: "engine" });
        expect(readUsage(body)?.completionTokens).toBeGreaterThan(0);
        await isIdle();
      });

      it("streams whole events, and ends in [DONE]", async () => {
        const { call, answer } = ask({ stream: true, stream_options: { include_usage: true } });
        const response = await answer;
        expect(call.report.read().usage.completionTokens).toBeLessThanOrEqual(20);
        expect(response.headers.get("content-type")).toMatch(/^text\/event-stream/);
        const pieces = await piecesOf(response);
        for (const piece of pieces) expect(piece).toMatch(/^(data: .*\n\n|: .*\n\n)+$/);
        expect(pieces.at(-1)).toMatch(/data: \[DONE\]\n\n$/);
        const { chunks } = await readStream(new Response(pieces.join("")));
        for (const chunk of chunks) expectSchema("CreateChatCompletionStreamResponse", chunk);
        expect(call.report.read()).toEqual({ usage: readUsage(chunks.at(-1)), source: "engine" });
        await isIdle();
      });

      it("streams the same text that it answers at once", async () => {
        const greedy = { temperature: 0 };
        const whole = await (await ask(greedy).answer).json();
        const stream = await readStream(await ask({ ...greedy, stream: true }).answer);
        expect(stream.text()).toBe(whole.choices[0].message.content);
        expect(stream.finish()).toBe(whole.choices[0].finish_reason);
        expect(stream.chunks.every((chunk) => !("usage" in chunk))).toBe(true);
      });

      it("answers a text completion", async () => {
        const call = completionCall(shared.model, { prompt: shared.longPrompt, max_tokens: 3 });
        const body = await (await shared.engine.respond(call)).json();
        expectSchema("CreateCompletionResponse", body);
        expect(readUsage(body)).toMatchObject({ completionTokens: 3 });
        expect(body.choices[0].finish_reason).toBe("length");
      });

      it("answers embeddings with vectors of length 1, or refuses them with an ApiError", async () => {
        const call = embeddingCall(shared.model, { input: ["one", "two words"] });
        const answer = await shared.engine.respond(call).catch((refusal: unknown) => refusal);
        if (!(answer instanceof Response))
          return expect(answer).toMatchObject({ name: "ApiError", status: 400 });
        const body: Json = await answer.json();
        expectSchema("CreateEmbeddingResponse", body);
        for (const { embedding } of body.data) expect(Math.hypot(...embedding)).toBeCloseTo(1, 5);
        expect(call.report.read()).toEqual({ usage: readUsage(body), source: "engine" });
      });

      it("refuses a prompt beyond the context with an ApiError, before the first byte", async () => {
        const refusal = ask({ messages: [{ role: "user", content: shared.tooLong }], stream: true }).answer;
        await expect(refusal).rejects.toBeInstanceOf(ApiError);
        await expect(refusal).rejects.toMatchObject({ status: 400, code: "context_length_exceeded" });
        await isIdle();
      });

      it("keeps the report current in mid-stream", async () => {
        const { call, answer } = ask({ stream: true });
        let seen = 0;
        for await (const event of eventsOf(await answer)) {
          if (textOf(event) === "") continue;
          seen++;
          if (seen === 3) break;
        }
        const { usage } = call.report.read();
        expect(usage.completionTokens).toBeGreaterThanOrEqual(3);
        expect(usage.completionTokens).toBeLessThanOrEqual(20);
        await isIdle();
      });

      it("is freed by an abort in mid-stream, and reports what was made until then", async () => {
        const abort = new AbortController();
        const { call, answer } = ask({ stream: true }, abort.signal);
        const events = eventsOf(await answer);
        for (let event = await events.next(); textOf(event.value ?? "") === ""; event = await events.next());
        abort.abort(new Error("the client left"));
        await rest(events);
        await isIdle();
        const { usage } = call.report.read();
        expect(usage.completionTokens).toBeGreaterThanOrEqual(1);
        expect(call.report.read().usage).toEqual(usage);
      });

      it("is freed when the reader cancels the body, read or unread", async () => {
        await (await ask({ stream: true }).answer).body?.cancel();
        await isIdle();
        const reader = (await ask({ stream: true }).answer).body?.getReader();
        await reader?.read();
        await reader?.cancel("enough");
        await isIdle();
      });

      it("does nothing for a caller that has left already", async () => {
        const left = AbortSignal.abort(new Error("the client left"));
        await expect(ask({}, left).answer).rejects.toThrow();
        await expect(ask({ stream: true }, left).answer).rejects.toThrow();
        await isIdle();
      });

      it("serves the next call after all that", async () => {
        await Promise.all([ask().answer, ask().answer, ask({ stream: true }).answer.then(readStream)]);
        await isIdle();
      });
    });

    describe("loading and closing", () => {
      it(
        "answers from load to close, and refuses with an ApiError before and after",
        async () => {
          const { engine, model, source, longAnswer } = await make();
          const call = () => chatCall(model, { ...chat(longAnswer), max_tokens: 1 });
          await engine.initialize();
          if (isLocal) {
            expect(engine.isModelLoaded(model)).toBe(false);
            await expect(engine.respond(call())).rejects.toMatchObject({ name: "ApiError", status: 503 });
          }
          const loading = engine.loadModel(model, source);
          expectStatus(engine);
          const early = await engine.respond(call()).catch((refusal: unknown) => refusal);
          if (!(early instanceof Response))
            expect(early).toMatchObject({ name: "ApiError", status: 503, retryAfterMs: expect.any(Number) });
          await loading;
          expect(engine.isModelLoaded(model)).toBe(true);
          expect((await engine.respond(call())).status).toBe(200);
          const closing = engine.close();
          expect(engine.close()).toBe(closing);
          await closing;
          expect(engine.isModelLoaded(model)).toBe(false);
          expectStatus(engine);
          await expect(engine.respond(call())).rejects.toMatchObject({ name: "ApiError", status: 503 });
        },
        loadMs,
      );

      if (badSource !== undefined)
        it(
          "stays usable after a model that can't be loaded, which it names",
          async () => {
            await expect(shared.engine.loadModel("broken", badSource)).rejects.toThrow(badSource);
            expect(shared.engine.isModelLoaded("broken")).toBe(false);
            expect((await ask().answer).status).toBe(200);
          },
          loadMs,
        );

      it(
        "ends calls in flight when it closes: an error event, no [DONE]",
        async () => {
          const { engine, model, source, longAnswer } = await make();
          await engine.initialize();
          await engine.loadModel(model, source);
          const call = chatCall(model, { ...chat(longAnswer), stream: true });
          const response = await engine.respond(call);
          await engine.close();
          const { isDone, error } = await readStream(response);
          expect({ isDone, error }).toMatchObject({ isDone: false, error: { type: "server_error" } });
          expect(call.report.failure).toBeInstanceOf(ApiError);
        },
        loadMs,
      );
    });

    if (isLocal)
      describe("generate", () => {
        const generating = () => {
          if (!isGenerating(shared.engine)) throw new Error("A local engine has `generate`");
          return shared.engine;
        };

        it("yields the prompt once, then text, then one finish, and counts as it goes", async () => {
          const request = textGeneration(shared.model, shared.longPrompt, new AbortController().signal);
          const types: string[] = [];
          for await (const event of generating().generate(request)) types.push(event.type);
          expect(types[0]).toBe("prompt");
          expect(types.at(-1)).toBe("finish");
          expect(new Set(types.slice(1, -1))).toEqual(new Set(["text"]));
          expect(request.counts.promptTokens).toBeGreaterThan(0);
          expect(request.counts.completionTokens).toBe(20);
          await isIdle();
        });

        it("throws the signal's reason when aborted", async () => {
          const abort = new AbortController();
          const reason = new Error("the client left");
          const events = generating()
            .generate(textGeneration(shared.model, shared.longPrompt, abort.signal))
            [Symbol.asyncIterator]();
          expect(await events.next()).toMatchObject({ value: { type: "prompt" } satisfies GenerateEvent });
          abort.abort(reason);
          const end = async () => {
            while (!(await events.next()).done);
          };
          await expect(end()).rejects.toBe(reason);
          await isIdle();
        });
      });
  });
}

function isGenerating(engine: Engine): engine is GeneratingEngine {
  return "generate" in engine;
}

function expectStatus(engine: Engine): void {
  const { state, active, queued, details } = engine.status();
  expect(["stopped", "starting", "ready", "failed"]).toContain(state);
  expect(active).toBeGreaterThanOrEqual(0);
  expect(queued).toBeGreaterThanOrEqual(0);
  expect(JSON.parse(JSON.stringify(details))).toEqual(details);
}

/** The text that an event carries: empty for a role, a finish, a usage and `[DONE]`. */
function textOf(event: string): string {
  if (event === "" || event === "[DONE]") return "";
  const chunk: Json = JSON.parse(event);
  return chunk.choices?.[0]?.delta?.content ?? "";
}

/** Reads on to the end, be it an end or an error. */
async function rest(events: AsyncGenerator<string>): Promise<void> {
  try {
    for await (const _ of events);
  } catch {
    // An aborted body may end in the abort's reason.
  }
}
