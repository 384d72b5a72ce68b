import { APIError, APIUserAbortError, BadRequestError, NotFoundError } from "openai";
import { describe, expect, it } from "vitest";
import { clientOf, failureOf } from "./openai-client.ts";
import {
  ASK,
  BODY_BYTES,
  describeServers,
  LONG,
  LONG_SAMPLING,
  MODEL,
  stayOnLoopback,
  untilActive,
} from "./servers.ts";

stayOnLoopback();

const LONG_ASK = { model: MODEL, messages: [{ role: "user" as const, content: LONG }], ...LONG_SAMPLING };
/** For refusals that leave the body unread: workerd closes such a connection, and the next request must not be on it. */
const ONCE = { connection: "close" };

describeServers((server) => {
  const client = () => clientOf(server.baseURL);
  const chat = () => client().chat.completions;

  describe("errors", () => {
    it("are NotFoundError for an unknown model, with its code, param and request id", async () => {
      const failure = await failureOf(chat().create({ ...ASK, model: "nobody" }));
      expect(failure).toBeInstanceOf(NotFoundError);
      expect(failure).toMatchObject({
        status: 404,
        code: "model_not_found",
        param: "model",
        type: "invalid_request_error",
        requestID: expect.stringMatching(/^req_[0-9a-f]{32}$/),
      });
    });

    it("are NotFoundError for a stream of an unknown model too, before any chunk", async () => {
      const failure = await failureOf(chat().create({ ...ASK, model: "nobody", stream: true }));
      expect(failure).toBeInstanceOf(NotFoundError);
    });

    it.each([
      { param: "temperature", change: { temperature: 2.5 } },
      { param: "n", change: { n: 129 } },
      { param: "stop", change: { stop: ["a", "b", "c", "d", "e"] } },
      { param: "messages", change: { messages: [] } },
      { param: "top_logprobs", change: { top_logprobs: 2 } },
      { param: "stream_options", change: { stream_options: { include_usage: true } } },
    ])("are BadRequestError for a bad $param, and name it", async ({ param, change }) => {
      const failure = await failureOf(chat().create({ ...ASK, ...change }));
      expect(failure).toBeInstanceOf(BadRequestError);
      expect(failure).toMatchObject({ status: 400, param });
    });

    it("have the code that agents look for when the context is too short", async () => {
      const failure = await failureOf(chat().create({ ...ASK, max_completion_tokens: 10_000_000 }));
      expect(failure).toBeInstanceOf(BadRequestError);
      expect(failure).toMatchObject({ code: "context_length_exceeded", param: "messages" });
    });

    it("are BadRequestError for a body that is not JSON", async () => {
      const headers = { "content-type": "application/json" };
      const failure = await failureOf(client().post("/chat/completions", { body: '{"model"', headers }));
      expect(failure).toBeInstanceOf(BadRequestError);
    });

    it("have status 413 for a body over the limit", async () => {
      const messages = [{ role: "user" as const, content: "a".repeat(BODY_BYTES) }];
      const failure = await failureOf(chat().create({ ...ASK, messages }, { headers: ONCE }));
      expect(failure).toBeInstanceOf(APIError);
      expect(failure).toMatchObject({ status: 413 });
    });

    it("have status 415 for another content type", async () => {
      const headers = { ...ONCE, "content-type": "text/plain" };
      const failure = await failureOf(
        client().post("/chat/completions", { body: JSON.stringify(ASK), headers }),
      );
      expect(failure).toMatchObject({ status: 415, type: "invalid_request_error" });
    });

    it("have status 405 for another method, 404 for another path", async () => {
      expect(await failureOf(client().put("/chat/completions", { body: ASK, headers: ONCE }))).toMatchObject({
        status: 405,
      });
      const failure = await failureOf(client().get("/nothing"));
      expect(failure).toBeInstanceOf(NotFoundError);
      expect(failure).toMatchObject({ code: null });
    });
  });

  describe("a client that leaves", () => {
    it("frees the engine when it aborts in mid-stream", async () => {
      const controller = new AbortController();
      const stream = await chat().create({ ...LONG_ASK, stream: true }, { signal: controller.signal });
      let chunks = 0;
      for await (const _ of stream) if (++chunks === 3) controller.abort();
      expect(chunks).toBeGreaterThanOrEqual(3);
      await untilActive(server, (active) => active === 0);
    });

    it("frees the engine when it stops reading in mid-stream", async () => {
      for await (const _ of await chat().create({ ...LONG_ASK, stream: true })) break;
      await untilActive(server, (active) => active === 0);
    });

    it("frees the engine when it aborts the stream helper", async () => {
      const runner = chat().stream(LONG_ASK);
      runner.on("content.delta", () => runner.abort());
      expect(await failureOf(runner.done())).toBeInstanceOf(APIUserAbortError);
      await untilActive(server, (active) => active === 0);
    });

    it("frees the engine when it aborts before the whole answer is there", async () => {
      const controller = new AbortController();
      const failure = failureOf(chat().create(LONG_ASK, { signal: controller.signal }));
      await untilActive(server, (active) => active > 0);
      controller.abort();
      expect(await failure).toBeInstanceOf(APIUserAbortError);
      await untilActive(server, (active) => active === 0);
    });
  });
});
