import { describe, expect, it } from "vitest";
import type { Wire } from "../../../../functions/backends/dialect.ts";
import { mlxDialect } from "../../../../runtime-node/engines/mlx-dialect.ts";
import { chatCall, completionCall } from "../../../harness/calls.ts";
import { chat, type Json } from "../../../harness/wire.ts";

const dialect = mlxDialect({ contextSize: 2048, longestToken: 16 });
const ask = (stop: string | readonly string[] | null, more: Record<string, unknown> = {}) =>
  chatCall("demo", { ...chat("hi"), stop, ...more });

/** The text and the finish of a stream whose deltas are `pieces`, as a client gets them. */
function streamed(stop: string | readonly string[], pieces: readonly string[]) {
  const hear = dialect.chunks?.(ask(stop, { stream: true }));
  const chunk = (delta: Wire, finish: string | null = null) => ({
    choices: [{ index: 0, delta, finish_reason: finish }],
  });
  const sent = [
    ...pieces.map((content) => chunk({ role: "assistant", content })),
    chunk({ role: "assistant" }, "length"),
    { choices: [], usage: { prompt_tokens: 1, completion_tokens: 9, total_tokens: 10 } },
  ];
  const heard: Json[] = sent.map((each) => hear?.(each).chunk).filter((each) => each !== undefined);
  const choices = heard.flatMap((each) => each.choices);
  return {
    text: choices.map((choice) => choice.delta.content ?? "").join(""),
    finishes: choices.map((choice) => choice.finish_reason).filter((finish) => finish !== null),
    usage: heard.at(-1).usage?.completion_tokens,
  };
}

const whole = (
  stop: string | readonly string[] | null,
  choice: Wire,
  more: Record<string, unknown> = {},
): Json => Object(dialect.answer?.(ask(stop, more), { choices: [choice] })).choices[0];
const said = (content: string, finish = "length") => ({
  index: 0,
  message: { role: "assistant", content },
  finish_reason: finish,
});

describe("stop strings on MLX, which would take them out of the text and go on", () => {
  it("are not sent to it", () => {
    const call = ask("x");
    expect(dialect.request?.(call, { ...call.body, model: "demo" })).not.toHaveProperty("stop");
  });

  it.each([
    { stop: "m", pieces: ["I", " am", " only"], text: "I a", finish: "stop" },
    { stop: " a", pieces: ["I", " am", " only"], text: "I", finish: "stop" },
    { stop: ["z", "m o"], pieces: ["I", " am", " only"], text: "I a", finish: "stop" },
    { stop: "nobody", pieces: ["I", " am", " n"], text: "I am n", finish: "length" },
  ])("end the text before $stop, whole and in pieces", ({ stop, pieces, text, finish }) => {
    expect(streamed(stop, pieces)).toEqual({ text, finishes: [finish], usage: 9 });
    expect(whole(stop, said(pieces.join("")))).toMatchObject({
      message: { content: text },
      finish_reason: finish,
    });
  });

  it("end a text completion too", () => {
    const call = completionCall("demo", { prompt: "a", stop: ["\n"] });
    const answer = dialect.answer?.(call, {
      choices: [{ index: 0, text: "one\ntwo", finish_reason: "length" }],
    });
    expect(Object(answer).choices[0]).toMatchObject({ text: "one", finish_reason: "stop" });
  });

  it("take the scores of what they cut off along", () => {
    const content = ["I", "Ġam", "Ġonly"].map((token) => ({ token, logprob: -1, top_logprobs: [] }));
    const choice = whole(" o", { ...said("I am only"), logprobs: { content } }, { logprobs: true });
    expect(choice.logprobs.content.map(({ token }: Json) => token)).toEqual(["I", " am"]);
  });
});

describe("tool calls on MLX", () => {
  const call = (index: number) => ({
    index,
    id: `a-${index}`,
    type: "function",
    function: { name: "f", arguments: "{}" },
  });

  it("stream without the newlines between them", () => {
    const hear = dialect.chunks?.(ask(null, { stream: true }));
    const deltas: Json[] = [
      { role: "assistant", tool_calls: [call(0)] },
      { role: "assistant", content: "\n" },
      { role: "assistant", content: "", tool_calls: [call(1)] },
    ].map(
      (delta) =>
        Object(hear?.({ choices: [{ index: 0, delta, finish_reason: null }] }).chunk).choices[0].delta,
    );
    expect(deltas.map((delta) => delta.content)).toEqual([null, undefined, undefined]);
    expect(deltas.map((delta) => delta.tool_calls?.[0].id)).toEqual(["call_a0", undefined, "call_a1"]);
  });

  it("have no scores: they are no content", () => {
    const message = { role: "assistant", content: "\n", tool_calls: [call(0)] };
    const content = [{ token: "x", logprob: -1, top_logprobs: [] }];
    const choice = whole(
      null,
      { index: 0, message, finish_reason: "tool_calls", logprobs: { content } },
      { logprobs: true },
    );
    expect(choice.logprobs).toEqual({ content: [], refusal: null });
  });

  it("that nobody made have no results, here as on every engine", () => {
    const messages = [
      ...Object(chat("hi")).messages,
      { role: "tool", tool_call_id: "call_2", content: "21" },
    ];
    const sent = chatCall("demo", { messages });
    expect(() => dialect.request?.(sent, { ...sent.body, model: "demo" })).toThrow(
      expect.objectContaining({ status: 400, param: "messages[1].tool_call_id" }),
    );
  });
});

describe("MLX", () => {
  it("does not see tools that must not be called", () => {
    const tools = [{ type: "function", function: { name: "f" } }];
    const sent = ask(null, { tools, tool_choice: "none" });
    const body = dialect.request?.(sent, { ...sent.body, model: "demo" });
    expect(body).not.toHaveProperty("tools");
    expect(body).not.toHaveProperty("tool_choice");
  });

  it("is not asked for more than its context", () => {
    const sent = ask(null, { max_tokens: 2049 });
    expect(() => dialect.request?.(sent, { ...sent.body, model: "demo" })).toThrow(
      expect.objectContaining({ status: 400, code: "context_length_exceeded", param: "messages" }),
    );
  });
});
