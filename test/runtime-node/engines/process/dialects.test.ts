import { describe, expect, it } from "vitest";
import { llamaServerDialect } from "../../../../runtime-node/engines/llama-server-dialect.ts";
import { mlxDialect } from "../../../../runtime-node/engines/mlx-dialect.ts";
import { vllmDialect } from "../../../../runtime-node/engines/vllm-dialect.ts";
import type { EngineCall } from "../../../../shared/engine.ts";
import { readUsage } from "../../../../shared/openai/usage.ts";
import { ASKED, chatCall, completionCall, embeddingCall } from "../../../harness/calls.ts";
import { expectSchema } from "../../../harness/oracle.ts";
import { chat, type Json, readStream } from "../../../harness/wire.ts";
import { createReplay } from "./replay.ts";

const replay = createReplay();
const ENGINES = [
  { name: "vllm-0.32.0", dialect: vllmDialect },
  { name: "mlx-0.32.2", dialect: mlxDialect({ contextSize: 2048, longestToken: 16 }) },
];
const QUESTION = chat("What is Sluice?", { temperature: 0, max_tokens: 40 });
const TEXT = { prompt: "Sluice is", temperature: 0, max_tokens: 12 };

describe.each(ENGINES)("the recorded answers of $name", ({ name, dialect }) => {
  it("are OpenAI's: a chat, whole and streamed, with the same text and usage", async () => {
    const call = chatCall("demo", QUESTION);
    const { response } = await replay(dialect, call, `${name}-chat.json`);
    const whole: Json = await response.json();
    expectSchema("CreateChatCompletionResponse", whole);
    expect(whole.model).toBe(ASKED);
    expect(call.report.read()).toEqual({ usage: readUsage(whole), source: "engine" });

    const streamed = chatCall("demo", { ...QUESTION, stream: true, stream_options: { include_usage: true } });
    const stream = await readStream((await replay(dialect, streamed, `${name}-chat.sse`)).response);
    for (const chunk of stream.chunks) expectSchema("CreateChatCompletionStreamResponse", chunk);
    expect(stream.text()).toBe(whole.choices[0].message.content);
    expect(stream.finish()).toBe(whole.choices[0].finish_reason);
    const roles = stream.chunks.filter((chunk) => chunk.choices[0]?.delta.role !== undefined);
    expect(roles).toHaveLength(1);
    const { completionTokens, promptTokens } = readUsage(stream.chunks.at(-1)) ?? {};
    expect({ completionTokens, promptTokens }).toEqual({ completionTokens: 40, promptTokens: 12 });
    expect(stream.chunks.slice(0, -1).every((chunk) => chunk.usage === null)).toBe(true);
    expect(streamed.report.read().source).toBe("engine");
  });

  it("have no usage for who did not ask", async () => {
    const call = chatCall("demo", { ...QUESTION, stream: true });
    const stream = await readStream((await replay(dialect, call, `${name}-chat.sse`)).response);
    expect(stream.chunks.some((chunk) => "usage" in chunk)).toBe(false);
    expect(call.report.read()).toMatchObject({ usage: { completionTokens: 40 }, source: "engine" });
  });

  it("are OpenAI's: a text completion, whole and streamed", async () => {
    const { response } = await replay(dialect, completionCall("demo", TEXT), `${name}-text.json`);
    const whole: Json = await response.json();
    expectSchema("CreateCompletionResponse", whole);
    const call = completionCall("demo", { ...TEXT, stream: true });
    const stream = await readStream((await replay(dialect, call, `${name}-text.sse`)).response);
    for (const chunk of stream.chunks) expectSchema("CreateCompletionResponse", chunk);
    expect(stream.text()).toBe(whole.choices[0].text);
  });

  it("are OpenAI's: tool calls, whole and streamed", async () => {
    const tools = [{ type: "function", function: { name: "get_weather", parameters: { type: "object" } } }];
    const call = chatCall("demo", { ...QUESTION, tools });
    const whole: Json = await (await replay(dialect, call, `${name}-tools.json`)).response.json();
    expectSchema("CreateChatCompletionResponse", whole);
    expect(whole.choices[0].finish_reason).toBe("tool_calls");
    const calls: Json[] = whole.choices[0].message.tool_calls;
    expect(calls.map((each) => JSON.parse(each.function.arguments).city)).toEqual(["Paris", "London"]);

    const streamed = chatCall("demo", { ...QUESTION, tools, stream: true });
    const stream = await readStream((await replay(dialect, streamed, `${name}-tools.sse`)).response);
    const deltas: Json[] = stream.chunks.flatMap((chunk) => chunk.choices[0]?.delta.tool_calls ?? []);
    for (const chunk of stream.chunks) expectSchema("CreateChatCompletionStreamResponse", chunk);
    expect(deltas[0]).toMatchObject({ index: 0, type: "function", function: { name: "get_weather" } });
    expect(deltas.slice(1).every((delta) => delta.id === undefined && delta.type === undefined)).toBe(true);
    expect(JSON.parse(deltas.map((delta) => delta.function.arguments).join(""))).toEqual({ city: "Paris" });
    expect(stream.finish()).toBe("tool_calls");
  });

  it("are OpenAI's: log probabilities", async () => {
    const call = chatCall("demo", { ...QUESTION, logprobs: true });
    const { response, sent } = await replay(dialect, call, `${name}-logprobs-alone.json`);
    expect(sent.top_logprobs).toBe(name.startsWith("vllm") ? 0 : 1);
    const whole: Json = await response.json();
    if (name.startsWith("vllm")) expectSchema("CreateChatCompletionResponse", whole);
  });

  it("say what they can't do: embeddings", async () => {
    const answer = replay(dialect, embeddingCall("demo", { input: "a" }), `${name}-embeddings.json`, 404);
    await expect(answer).rejects.toMatchObject({ name: "ApiError", status: 400 });
  });
});

describe("vLLM", () => {
  it("says in OpenAI's code that a prompt is too long", async () => {
    const answer = replay(vllmDialect, chatCall("demo", QUESTION), "vllm-0.32.0-too-long.json", 400);
    await expect(answer).rejects.toMatchObject({
      status: 400,
      code: "context_length_exceeded",
      type: "invalid_request_error",
    });
  });

  it("says in OpenAI's words that more is asked for than the context takes: clients search the message", async () => {
    const answer = replay(vllmDialect, chatCall("demo", QUESTION), "vllm-0.32.0-max-tokens.json", 400);
    await expect(answer).rejects.toMatchObject({
      status: 400,
      code: "context_length_exceeded",
      message: expect.stringMatching(
        /^This model's maximum context length is 1024 tokens\. However, max_tokens=/,
      ),
    });
  });

  it("says in OpenAI's code that a model is not there, by the name that was asked for", async () => {
    const answer = replay(vllmDialect, chatCall("demo", QUESTION), "vllm-0.32.0-no-model.json", 404);
    await expect(answer).rejects.toMatchObject({
      status: 404,
      code: "model_not_found",
      message: expect.stringContaining(ASKED),
    });
  });

  it("is asked for the running usage of a stream, and without nulls", async () => {
    const call = chatCall("demo", { ...QUESTION, stream: true, stream_options: { include_usage: false } });
    const { response, sent } = await replay(vllmDialect, call, "vllm-0.32.0-chat.sse");
    await response.body?.cancel();
    expect(sent.stream_options).toEqual({ include_usage: true, continuous_usage_stats: true });
    expect(Object.values(sent)).not.toContain(null);
  });

  it("has its several prompts' choices kept apart", async () => {
    const call = completionCall("demo", { prompt: ["Sluice is", "The"] });
    const whole: Json = await (
      await replay(vllmDialect, call, "vllm-0.32.0-text-prompts.json")
    ).response.json();
    expectSchema("CreateCompletionResponse", whole);
    expect(whole.choices.map((choice: Json) => choice.index)).toEqual([0, 1]);
  });

  const answer = (message: object, finish: string) =>
    vllmDialect.answer?.(chatCall("demo", QUESTION), {
      choices: [{ index: 0, message, finish_reason: finish }],
    });
  const call = { id: "chatcmpl-tool-1", type: "function", function: { name: "f", arguments: "{}" } };
  it.each([
    [{ reasoning: "hm", content: "a" }, "stop", { reasoning_content: "hm", content: "a" }, "stop"],
    [{ reasoning: null, content: "a", tool_calls: [] }, "tool_calls", { content: "a" }, "stop"],
    [
      { content: null, tool_calls: [call] },
      "stop",
      { content: null, tool_calls: [{ ...call, id: "call_1" }] },
      "tool_calls",
    ],
  ])("%j, %s", (message, finish, expected, expectedFinish) => {
    expect(answer(message, finish)).toEqual({
      choices: [{ index: 0, message: expected, finish_reason: expectedFinish }],
    });
  });

  it("gets ids and types for tool calls that came without, once", () => {
    const hear = vllmDialect.chunks?.(chatCall("demo", QUESTION));
    const delta = (tool: object) =>
      Object(hear?.({ choices: [{ index: 0, delta: { tool_calls: [tool] } }] })?.chunk).choices[0].delta
        .tool_calls[0];
    expect(delta({ index: 0, function: { name: "f" } })).toEqual({
      index: 0,
      id: expect.stringMatching(/^call_\w+$/),
      type: "function",
      function: { name: "f", arguments: "" },
    });
    expect(delta({ index: 0, id: "x", type: "function", function: { name: "f", arguments: "{}" } })).toEqual({
      index: 0,
      function: { arguments: "{}" },
    });
  });
});

describe("MLX", () => {
  const dialect = mlxDialect({ contextSize: 2048, longestToken: 16 });
  const sentFor = (call: EngineCall) => dialect.request?.(call, { ...call.body, model: "demo" });

  it("is always sent its own model's name, the whole stream options, and OpenAI's defaults", () => {
    const call = chatCall("demo", {
      messages: QUESTION.messages,
      stream: true,
      adapters: "/etc",
      draft_model: "x",
      seed: null,
    });
    expect(sentFor(call)).toEqual({
      model: "default_model",
      messages: QUESTION.messages,
      stream: true,
      stream_options: { include_usage: true },
      max_tokens: 2048,
      temperature: 1,
    });
    expect(sentFor(completionCall("demo", { prompt: ["a"] }))).toMatchObject({ prompt: "a", max_tokens: 16 });
  });

  it.each([
    ["n", { n: 2 }],
    ["response_format", { response_format: { type: "json_object" } }],
    ["tool_choice", { tool_choice: "required", tools: [{ type: "function", function: { name: "f" } }] }],
    ["logprobs", { logprobs: true, stream: true }],
    ["top_logprobs", { logprobs: true, top_logprobs: 11 }],
    ["functions", { functions: [{ name: "f" }] }],
  ])("refuses %s, which it would pass over", (param, more) => {
    expect(() => sentFor(chatCall("demo", { ...QUESTION, ...more }))).toThrow(
      expect.objectContaining({ status: 400, param }),
    );
  });

  it.each([
    ["prompt", { prompt: ["a", "b"] }],
    ["prompt", { prompt: [1, 2] }],
    ["echo", { prompt: "a", echo: true }],
    ["suffix", { prompt: "a", suffix: "b" }],
    ["best_of", { prompt: "a", best_of: 2 }],
    ["logprobs", { prompt: "a", logprobs: 1 }],
  ])("refuses %s of a text completion: %j", (param, body) => {
    expect(() => sentFor(completionCall("demo", body))).toThrow(
      expect.objectContaining({ status: 400, param }),
    );
  });

  it("is not sent what can't fit into its context: it would compute it for minutes", () => {
    const sent = (content: string) => () =>
      sentFor(chatCall("demo", { messages: [{ role: "user", content }] }));
    expect(sent("x".repeat(2048 * 16))).not.toThrow();
    expect(sent("x".repeat(2048 * 16 + 1))).toThrow(
      expect.objectContaining({ status: 400, code: "context_length_exceeded", param: "messages" }),
    );
  });

  it("has its log probabilities spelled in text and bytes", async () => {
    const call = chatCall("demo", { ...QUESTION, logprobs: true, top_logprobs: 2 });
    const whole: Json = await (await replay(dialect, call, "mlx-0.32.2-logprobs.json")).response.json();
    expectSchema("CreateChatCompletionResponse", whole);
    const tokens: Json[] = whole.choices[0].logprobs.content;
    expect(tokens.map(({ token }) => token).join("")).toBe("Sluice is an");
    expect(tokens[1]).toMatchObject({ token: " is", bytes: [32, 105, 115] });
    expect(tokens[1].top_logprobs).toHaveLength(2);
  });

  it("is not to blame on the client when its work thread is dead, though it says 404", async () => {
    const answer = replay(dialect, chatCall("demo", QUESTION), "mlx-0.32.2-dead-thread.json", 404);
    await expect(answer).rejects.toMatchObject({ status: 502, type: "server_error" });
  });

  it("has its 400s passed on", async () => {
    const answer = replay(dialect, chatCall("demo", QUESTION), "mlx-0.32.2-nulls.json", 400);
    await expect(answer).rejects.toMatchObject({ status: 400, message: "stream must be of type bool" });
  });
});

describe("llama-server", () => {
  it("is sent OpenAI's sampling defaults, and asked for running counts", () => {
    const call = chatCall("demo", { messages: QUESTION.messages, stream: true, id_slot: 3 });
    expect(llamaServerDialect.request?.(call, { ...call.body, model: "demo" })).toEqual({
      model: "demo",
      messages: QUESTION.messages,
      stream: true,
      temperature: 1,
      top_p: 1,
      top_k: 0,
      min_p: 0,
      timings_per_token: true,
    });
  });

  it("counts by its timings, which the client does not see", () => {
    const hear = llamaServerDialect.chunks?.(chatCall("demo", QUESTION));
    const timings = { cache_n: 8, prompt_n: 4, predicted_n: 3 };
    expect(hear?.({ choices: [{ index: 0, delta: { role: "assistant", content: null } }], timings })).toEqual(
      {
        chunk: { choices: [{ index: 0, delta: { role: "assistant", content: "" } }] },
        usage: { promptTokens: 12, cachedTokens: 8, completionTokens: 3, reasoningTokens: 0 },
      },
    );
  });

  it.each([
    [
      400,
      '{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error"}}',
      { status: 400, code: "context_length_exceeded" },
    ],
    [
      400,
      '{"error":{"code":400,"message":"bad grammar","type":"invalid_request_error"}}',
      { status: 400, code: null },
    ],
    [
      501,
      '{"error":{"code":501,"message":"This server does not support embeddings","type":"not_supported_error"}}',
      { status: 400 },
    ],
  ])("%i %s", (status, text, expected) => {
    const call = status === 501 ? embeddingCall("demo", { input: "a" }) : chatCall("demo", QUESTION);
    expect(llamaServerDialect.error?.(call, status, text)).toMatchObject(expected);
  });
});
