import { BadRequestError, NotFoundError, PermissionDeniedError } from "openai";
import { describe, expect, it } from "vitest";
import { checkedFetch } from "../harness/oracle.ts";
import { clientOf, failureOf } from "./openai-client.ts";
import { ASK, collect, describeServers, MODEL, PROMPT, stayOnLoopback } from "./servers.ts";

stayOnLoopback();

describeServers((server) => {
  const client = () => clientOf(server.baseURL);
  const chat = () => client().chat.completions;

  describe("models", () => {
    it("lists what is served", async () => {
      const models = await collect(client().models.list());
      expect(models.map(({ id }) => id)).toEqual([MODEL]);
    });

    it("retrieves one by its id", async () => {
      expect(await client().models.retrieve(MODEL)).toMatchObject({ id: MODEL, object: "model" });
    });

    it("answers NotFoundError for one that is not there, slashes in its id included", async () => {
      for (const id of ["nobody", "some/body"]) {
        const failure = await failureOf(client().models.retrieve(id));
        expect(failure).toBeInstanceOf(NotFoundError);
        expect(failure).toMatchObject({ code: "model_not_found" });
      }
    });

    it("answers PermissionDeniedError to a delete", async () => {
      expect(await failureOf(client().models.delete(MODEL))).toBeInstanceOf(PermissionDeniedError);
    });
  });

  describe("chat.completions.create", () => {
    it("answers with text, finish reason, usage and a request id", async () => {
      const { data, response, request_id } = await chat().create(ASK).withResponse();
      const { text, finish, promptTokens, completionTokens } = server.known;
      expect(data.choices).toHaveLength(1);
      expect(data.choices[0]).toMatchObject({
        index: 0,
        message: { role: "assistant", content: text, refusal: null },
        logprobs: null,
        finish_reason: finish,
      });
      expect(data).toMatchObject({ object: "chat.completion", model: MODEL });
      expect(data.usage).toMatchObject({
        prompt_tokens: promptTokens,
        completion_tokens: completionTokens,
        total_tokens: promptTokens + completionTokens,
      });
      expect(request_id).toMatch(/^req_[0-9a-f]{32}$/);
      expect(data).toHaveProperty("_request_id", request_id);
      expect(response.headers.get("openai-version")).toBe("2020-10-01");
    });

    it("reads null as absent in every field that may be null", async () => {
      const { choices } = await chat().create({
        ...ASK,
        frequency_penalty: null,
        presence_penalty: null,
        logit_bias: null,
        logprobs: null,
        top_logprobs: null,
        max_tokens: null,
        metadata: null,
        n: null,
        stop: null,
        stream: null,
        stream_options: null,
        top_p: null,
      });
      expect(choices[0]?.message.content).toBe(server.known.text);
    });

    it("ends with length at max_completion_tokens", async () => {
      const { choices, usage } = await chat().create({ ...ASK, max_completion_tokens: 1 });
      expect(choices[0]?.finish_reason).toBe("length");
      expect(usage?.completion_tokens).toBe(1);
    });

    it.each([
      { where: "inside a word", from: 1, to: 3 },
      { where: "split over words", from: 2, to: 5 },
    ])("ends before a stop string $where", async ({ from, to }) => {
      const { text } = server.known;
      const stop = text.slice(from, to);
      const { choices } = await chat().create({ ...ASK, stop });
      expect(choices[0]?.message.content).toBe(text.slice(0, text.indexOf(stop)));
      expect(choices[0]?.finish_reason).toBe("stop");
    });

    it("answers n choices, each with its index, and counts all of them", async () => {
      const { choices, usage } = await chat().create({ ...ASK, n: 2 });
      const { text, promptTokens, completionTokens } = server.known;
      expect(choices.map(({ index }) => index)).toEqual([0, 1]);
      expect(choices.map(({ message }) => message.content)).toEqual([text, text]);
      expect(usage).toMatchObject({ prompt_tokens: promptTokens, completion_tokens: 2 * completionTokens });
    });
  });

  describe("chat.completions.create with stream", () => {
    it("sends the role first, the text in pieces, one finish reason, and no usage unasked", async () => {
      const chunks = await collect(await chat().create({ ...ASK, stream: true }));
      const choices = chunks.map((chunk) => chunk.choices[0]);
      const roles = choices.map((choice) => choice?.delta.role);
      expect(roles).toEqual(["assistant", ...Array(chunks.length - 1).fill(undefined)]);
      expect(choices.map((choice) => choice?.delta.content ?? "").join("")).toBe(server.known.text);
      const finishes = choices.map((choice) => choice?.finish_reason);
      expect(finishes).toEqual([...Array(chunks.length - 1).fill(null), server.known.finish]);
      expect(chunks.length).toBeGreaterThan(4);
      expect(chunks.some((chunk) => "usage" in chunk)).toBe(false);
      const heads = chunks.map(({ id, created, model, object, system_fingerprint }) =>
        JSON.stringify({ id, created, model, object, system_fingerprint }),
      );
      expect(new Set(heads).size).toBe(1);
    });

    it("sends usage in a last chunk of its own when asked", async () => {
      const stream = await chat().create({ ...ASK, stream: true, stream_options: { include_usage: true } });
      const chunks = await collect(stream);
      const last = chunks.pop();
      expect(chunks.map(({ usage }) => usage)).toEqual(Array(chunks.length).fill(null));
      expect(last?.choices).toEqual([]);
      const { promptTokens, completionTokens } = server.known;
      expect(last?.usage).toMatchObject({
        prompt_tokens: promptTokens,
        completion_tokens: completionTokens,
        total_tokens: promptTokens + completionTokens,
      });
    });

    it("sends each of n choices whole", async () => {
      const chunks = await collect(await chat().create({ ...ASK, n: 2, stream: true }));
      const choices = chunks.flatMap((chunk) => chunk.choices);
      for (const n of [0, 1]) {
        const own = choices.filter(({ index }) => index === n);
        expect(own.map(({ delta }) => delta.content ?? "").join("")).toBe(server.known.text);
        expect(own.filter(({ finish_reason }) => finish_reason !== null)).toHaveLength(1);
        expect(own.filter(({ delta }) => delta.role === "assistant")).toHaveLength(1);
      }
    });
  });

  describe("chat.completions.stream", () => {
    it("ends in the completion that create answers", async () => {
      const whole = await chat().create(ASK);
      const runner = chat().stream({ ...ASK, stream_options: { include_usage: true } });
      const final = await runner.finalChatCompletion();
      expect(final.choices[0]).toMatchObject({
        index: 0,
        finish_reason: whole.choices[0]?.finish_reason,
        logprobs: null,
        message: { role: "assistant", content: whole.choices[0]?.message.content, refusal: null },
      });
      expect(final).toMatchObject({
        object: whole.object,
        model: whole.model,
        system_fingerprint: whole.system_fingerprint,
      });
      const { prompt_tokens, completion_tokens, total_tokens } = whole.usage ?? {};
      expect(final.usage).toMatchObject({ prompt_tokens, completion_tokens, total_tokens });
    });

    it("emits its events in order, each delta once", async () => {
      const runner = chat().stream(ASK);
      const events: string[] = [];
      const deltas: string[] = [];
      runner.on("connect", () => events.push("connect"));
      runner.on("content.delta", ({ delta }) => void deltas.push(delta));
      runner.on("content.done", ({ content }) => events.push(`done ${content}`));
      runner.on("finalContent", (content) => events.push(`final ${content}`));
      runner.on("end", () => events.push("end"));
      await runner.done();
      const { text } = server.known;
      expect(deltas.join("")).toBe(text);
      expect(events).toEqual(["connect", `done ${text}`, `final ${text}`, "end"]);
    });

    it("gathers n choices", async () => {
      const { choices } = await chat()
        .stream({ ...ASK, n: 2 })
        .finalChatCompletion();
      const { text } = server.known;
      expect(choices.map(({ message }) => message.content)).toEqual([text, text]);
    });
  });

  describe("completions.create", () => {
    const ask = { model: MODEL, temperature: 0, seed: 7, max_tokens: 8 };

    it("answers the same text whole and streamed", async () => {
      const whole = await client().completions.create({ ...ask, prompt: PROMPT });
      expect(whole.choices).toHaveLength(1);
      expect(whole.choices[0]?.text).not.toBe("");
      expect(whole.usage?.total_tokens).toBe(
        (whole.usage?.prompt_tokens ?? 0) + (whole.usage?.completion_tokens ?? 0),
      );
      const chunks = await collect(
        await client().completions.create({ ...ask, prompt: PROMPT, stream: true }),
      );
      expect(chunks.map(({ choices }) => choices[0]?.text ?? "").join("")).toBe(whole.choices[0]?.text);
      expect(chunks.at(-1)?.choices[0]?.finish_reason).toBe(whole.choices[0]?.finish_reason);
    });

    it("answers every prompt n times, in order", async () => {
      const { choices } = await client().completions.create({ ...ask, prompt: [PROMPT, "Once"], n: 2 });
      expect(choices.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
      const [first, second, third, fourth] = choices.map(({ text }) => text);
      expect([second, fourth]).toEqual([first, third]);
      expect(third).not.toBe(first);
    });

    it("takes token ids, one prompt or several", async () => {
      const one = await client().completions.create({ ...ask, prompt: [5, 6, 7] });
      const two = await client().completions.create({ ...ask, prompt: [[5, 6, 7], [8]] });
      expect(one.usage?.prompt_tokens).toBe(3);
      expect(two.usage?.prompt_tokens).toBe(4);
      expect(two.choices[0]?.text).toBe(one.choices[0]?.text);
    });
  });

  describe("embeddings.create", () => {
    const ask = { model: MODEL, input: ["The sun is out.", "Rain until Monday."] };

    it("decodes what it asks for by default, base64, to the vectors sent as floats", async () => {
      const seen: string[] = [];
      const watching: typeof fetch = async (input, init) => {
        const response = await checkedFetch(input, init);
        seen.push(await response.clone().text());
        return response;
      };
      const byDefault = await clientOf(server.baseURL, { fetch: watching }).embeddings.create(ask);
      const floats = await client().embeddings.create({ ...ask, encoding_format: "float" });
      expect(seen[0]).toMatch(/"embedding":"[A-Za-z0-9+/]+=*"/);
      expect(byDefault.data.map(({ index }) => index)).toEqual([0, 1]);
      for (const [index, { embedding }] of byDefault.data.entries()) {
        expect(embedding).toEqual(floats.data[index]?.embedding);
        expect(Math.hypot(...embedding)).toBeCloseTo(1, 5);
      }
      expect(byDefault.data[0]?.embedding).not.toEqual(byDefault.data[1]?.embedding);
      expect(byDefault.usage).toEqual(floats.usage);
      expect(byDefault.usage.prompt_tokens).toBeGreaterThan(0);
    });

    it("shortens to the dimensions asked for and keeps the length at 1", async () => {
      const { data } = await client().embeddings.create({ ...ask, dimensions: 8 });
      expect(data.map(({ embedding }) => embedding.length)).toEqual([8, 8]);
      expect(Math.hypot(...(data[0]?.embedding ?? []))).toBeCloseTo(1, 5);
    });

    it("refuses an empty input", async () => {
      const failure = await failureOf(client().embeddings.create({ ...ask, input: "" }));
      expect(failure).toBeInstanceOf(BadRequestError);
      expect(failure).toMatchObject({ param: "input" });
    });
  });
});
