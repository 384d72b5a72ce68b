import OpenAI, { APIError, NotFoundError } from "openai";
import { beforeAll, describe, expect, it } from "vitest";
import { clientOf, failureOf } from "../clients/openai-client.ts";

/**
 * OpenAI's own client against whatever server runs at OPENAI_BASE_URL, with the variables that this client reads
 * itself. Asked is only what every OpenAI-compatible server answers; test/clients has all that Sluice promises.
 */
const baseURL = process.env.OPENAI_BASE_URL ?? "";
const client = clientOf(baseURL, { apiKey: process.env.OPENAI_API_KEY ?? "none" });
let model = process.env.OPENAI_MODEL ?? "";

const PROMPT = "测试消息: say hello.";
const ask = () => ({ model, messages: [{ role: "user" as const, content: PROMPT }], max_tokens: 50 });

beforeAll(async () => {
  if (baseURL === "") throw new Error("OPENAI_BASE_URL is not set; npm run test:compat -- --url URL sets it");
  if (model === "") model = (await client.models.list()).data[0]?.id ?? "";
});

describe("models", () => {
  it("are a list, each with its id and kind", async () => {
    const { object, data } = await client.models.list();
    expect(object).toBe("list");
    expect(data.map(({ id }) => id)).toContain(model);
    for (const each of data) expect(each).toMatchObject({ id: expect.any(String), object: "model" });
  });

  it("can be asked for one by one", async () => {
    expect(await client.models.retrieve(model)).toMatchObject({ id: model, object: "model" });
  });
});

describe("a chat completion", () => {
  it("has one message, a finish reason, and usage that adds up", async () => {
    const { choices, usage, object } = await client.chat.completions.create(ask());
    expect(object).toBe("chat.completion");
    expect(choices).toHaveLength(1);
    expect(choices[0]?.message).toMatchObject({ role: "assistant", content: expect.any(String) });
    expect(["stop", "length"]).toContain(choices[0]?.finish_reason);
    expect(usage?.prompt_tokens).toBeGreaterThan(0);
    expect(usage?.completion_tokens).toBeGreaterThan(0);
    expect(usage?.completion_tokens).toBeLessThanOrEqual(50);
    expect(usage?.total_tokens).toBe((usage?.prompt_tokens ?? 0) + (usage?.completion_tokens ?? 0));
  });

  it("streams the role, text in pieces, one finish reason, and usage when asked", async () => {
    const stream = await client.chat.completions.create({
      ...ask(),
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks: OpenAI.ChatCompletionChunk[] = [];
    for await (const chunk of stream) chunks.push(chunk);
    const choices = chunks.flatMap((chunk) => chunk.choices);
    expect(chunks.every(({ object }) => object === "chat.completion.chunk")).toBe(true);
    expect(choices[0]?.delta.role).toBe("assistant");
    expect(choices.filter(({ delta }) => delta.content).length).toBeGreaterThan(0);
    expect(choices.filter(({ finish_reason }) => finish_reason !== null)).toHaveLength(1);
    expect(chunks.findLast(({ usage }) => usage)?.usage?.completion_tokens).toBeGreaterThan(0);
  });

  it("ends when the client leaves in mid-stream, and the next one is answered", async () => {
    const stream = await client.chat.completions.create({ ...ask(), stream: true });
    let chunks = 0;
    for await (const _ of stream) if (++chunks > 2) break;
    expect((await client.chat.completions.create(ask())).choices).toHaveLength(1);
  });

  it("takes a conversation with a system message, stop words and sampling", async () => {
    const { choices } = await client.chat.completions.create({
      ...ask(),
      messages: [
        { role: "system", content: "Answer briefly." },
        { role: "user", content: "你好" },
        { role: "assistant", content: "你好！" },
        { role: "user", content: PROMPT },
      ],
      temperature: 0.7,
      top_p: 0.9,
      stop: ["\n\n\n"],
      seed: 7,
    });
    expect(choices[0]?.message.content).not.toContain("\n\n\n");
  });
});

describe("errors", () => {
  it("are 404 for a model that is not there", async () => {
    const failure = await failureOf(client.chat.completions.create({ ...ask(), model: "no-such-model" }));
    expect(failure).toBeInstanceOf(NotFoundError);
  });

  it("are 4xx with a message for a bad request", async () => {
    const failure = await failureOf(client.chat.completions.create({ ...ask(), messages: [] }));
    expect(failure).toBeInstanceOf(APIError);
    if (!(failure instanceof OpenAI.APIError)) return;
    expect(failure.status).toBeGreaterThanOrEqual(400);
    expect(failure.status).toBeLessThan(500);
    expect(failure.message).not.toBe("");
  });
});
