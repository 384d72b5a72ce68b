import { describe, expect, it } from "vitest";
import { llamaServerDialect } from "../../../../runtime-node/engines/llama-server-dialect.ts";
import type { EngineCall } from "../../../../shared/engine.ts";
import { readUsage } from "../../../../shared/openai/usage.ts";
import { ASKED, chatCall, completionCall, embeddingCall } from "../../../harness/calls.ts";
import { expectSchema } from "../../../harness/oracle.ts";
import { chat, type Json, readStream } from "../../../harness/wire.ts";
import { createReplay } from "./replay.ts";

const replayBy = createReplay();
const replay = async (call: EngineCall, name: string, status?: number) =>
  (await replayBy(llamaServerDialect, call, `llama-server-b10068-${name}`, status)).response;

const QUESTION = chat("What is Sluice?", { temperature: 0, max_tokens: 40 });
const TEXT = { prompt: "Sluice is", temperature: 0, max_tokens: 12 };
const TOOL = { type: "function", function: { name: "get_weather", parameters: { type: "object" } } };
const OTHER = { type: "function", function: { name: "plan_trip", parameters: { type: "object" } } };
const sentFor = (call: EngineCall): Json => llamaServerDialect.request?.(call, { ...call.body, model: "m" });

describe("the recorded answers of llama-server b10068", () => {
  it("are OpenAI's: a chat, whole and streamed, with the same text and usage", async () => {
    const call = chatCall("demo", QUESTION);
    const whole: Json = await (await replay(call, "chat.json")).json();
    expectSchema("CreateChatCompletionResponse", whole);
    expect(whole).toMatchObject({ model: ASKED });
    expect(whole).not.toHaveProperty("timings");
    const streamed = chatCall("demo", { ...QUESTION, stream: true, stream_options: { include_usage: true } });
    const stream = await readStream(await replay(streamed, "chat.sse"));
    for (const chunk of stream.chunks) expectSchema("CreateChatCompletionStreamResponse", chunk);
    expect(stream.text()).toBe(whole.choices[0].message.content);
    const { completionTokens, promptTokens } = readUsage(whole) ?? {};
    expect(streamed.report.read().usage).toMatchObject({ completionTokens, promptTokens });
  });

  it("are OpenAI's: a text completion, whole and streamed", async () => {
    const whole: Json = await (await replay(completionCall("demo", TEXT), "text.json")).json();
    expectSchema("CreateCompletionResponse", whole);
    const stream = await readStream(
      await replay(completionCall("demo", { ...TEXT, stream: true }), "text.sse"),
    );
    for (const chunk of stream.chunks) expectSchema("CreateCompletionResponse", chunk);
    expect(stream.text()).toBe(whole.choices[0].text);
  });

  it("are OpenAI's: tool calls, whole and streamed", async () => {
    const asked = { ...QUESTION, tools: [TOOL] };
    const whole: Json = await (await replay(chatCall("demo", asked), "tools.json")).json();
    expectSchema("CreateChatCompletionResponse", whole);
    const [{ message, finish_reason }] = whole.choices;
    expect([message.content, finish_reason]).toEqual([null, "tool_calls"]);
    expect(message.tool_calls[0].id).toMatch(/^call_\w+$/);
    const stream = await readStream(await replay(chatCall("demo", { ...asked, stream: true }), "tools.sse"));
    for (const chunk of stream.chunks) expectSchema("CreateChatCompletionStreamResponse", chunk);
    const deltas: Json[] = stream.chunks.flatMap((chunk) => chunk.choices[0]?.delta.tool_calls ?? []);
    expect(deltas[0]).toMatchObject({ id: expect.stringMatching(/^call_\w+$/), type: "function" });
    expect(deltas.slice(1).every(({ id }) => id === undefined)).toBe(true);
    const text = deltas.map((delta) => delta.function.arguments).join("");
    expect(text).toBe(message.tool_calls[0].function.arguments);
  });

  it("are OpenAI's: log probabilities, with as many of the likeliest as were asked for", async () => {
    for (const top of [0, 1]) {
      const call = chatCall("demo", { ...QUESTION, logprobs: true, top_logprobs: top });
      expect(sentFor(call).top_logprobs).toBe(1);
      const whole: Json = await (await replay(call, "logprobs.json")).json();
      expectSchema("CreateChatCompletionResponse", whole);
      const [token] = whole.choices[0].logprobs.content;
      expect(token.top_logprobs).toHaveLength(top);
    }
  });

  it("say in OpenAI's words that a prompt is too long, with both numbers", async () => {
    await expect(replay(chatCall("demo", QUESTION), "too-long.json", 400)).rejects.toMatchObject({
      status: 400,
      code: "context_length_exceeded",
      param: "messages",
      message: expect.stringMatching(/maximum context length is 1024 tokens.*\d+ tokens/),
    });
  });

  it("say what it can't do: embeddings", async () => {
    const answer = replay(embeddingCall("demo", { input: "a" }), "embeddings.json", 501);
    await expect(answer).rejects.toMatchObject({ name: "ApiError", status: 400 });
  });
});

describe("llama-server", () => {
  it.each([
    [{ type: "function", function: { name: "get_weather" } }, "required"],
    [
      {
        type: "allowed_tools",
        allowed_tools: { mode: "auto", tools: [{ type: "function", function: { name: "get_weather" } }] },
      },
      "auto",
    ],
  ])("is sent no tools but those chosen by name, and the choice as a word: %j", (tool_choice, word) => {
    const sent = sentFor(chatCall("demo", { ...QUESTION, tools: [TOOL, OTHER], tool_choice }));
    expect(sent).toMatchObject({ tools: [TOOL], tool_choice: word });
  });

  it.each([
    ["n", chatCall("demo", { ...QUESTION, n: 2 })],
    ["parallel_tool_calls", chatCall("demo", { ...QUESTION, tools: [TOOL], parallel_tool_calls: false })],
    ["prompt", completionCall("demo", { prompt: ["a", "b"] })],
    ["best_of", completionCall("demo", { prompt: "a", best_of: 2 })],
    ["echo", completionCall("demo", { prompt: "a", echo: true })],
    ["suffix", completionCall("demo", { prompt: "a", suffix: "b" })],
    ["logprobs", completionCall("demo", { prompt: "a", logprobs: 1 })],
  ])("refuses %s, which it would ignore or count wrongly", (param, call) => {
    expect(() => sentFor(call)).toThrow(expect.objectContaining({ status: 400, param }));
  });
});
