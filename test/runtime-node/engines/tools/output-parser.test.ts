import { describe, expect, it } from "vitest";
import type { CallFormat } from "../../../../runtime-node/engines/tools/call-format.ts";
import { createOutputParser } from "../../../../runtime-node/engines/tools/output-parser.ts";
import { FORMATS } from "./formats.ts";
import { type Answer, join, NAMES, paris, read, THINK, tagged, time, weather } from "./read-output.ts";

const { hermes, llama3, mistral, mistralArgs } = FORMATS;

describe("calls in a model's output", () => {
  it.each<[string, CallFormat, string, string, Answer["calls"]]>([
    ["one", hermes, tagged(...weather), "", [weather]],
    ["two", hermes, `${tagged(...weather)}\n${tagged(...time)}`, "", [weather, time]],
    ["after content", hermes, `Let me look.\n\n${tagged(...weather)}`, "Let me look.", [weather]],
    ["before content", hermes, `${tagged(...time)}\nDone.\n`, "Done.\n", [time]],
    [
      "compact",
      hermes,
      '<tool_call>{"name":"get_time","arguments":{"a":[1,{"b":"}"}]}}</tool_call>',
      "",
      [["get_time", '{"a":[1,{"b":"}"}]}']],
    ],
    [
      "whose arguments come first",
      hermes,
      `<tool_call>{"arguments": ${paris}, "name": "get_weather"}</tool_call>`,
      "",
      [weather],
    ],
    [
      "with keys of its own",
      hermes,
      `<tool_call>{"type": "function", "name": "get_weather", "id": {"x": "}"}, "parameters": ${paris}, "y": 1}</tool_call>`,
      "",
      [weather],
    ],
    ["without arguments", hermes, '<tool_call>{"name": "get_time"}</tool_call>', "", [time]],
    [
      "with arguments as a text",
      hermes,
      `<tool_call>{"name": "get_weather", "arguments": ${JSON.stringify(paris)}}</tool_call>`,
      "",
      [weather],
    ],
    [
      "without its closing tag",
      hermes,
      `<tool_call>{"name": "get_time", "arguments": {}} Done.`,
      "Done.",
      [time],
    ],
    [
      "two in one tag",
      hermes,
      '<tool_call>{"name": "get_time"}\n{"name": "get_weather"}</tool_call>',
      "",
      [time, ["get_weather", "{}"]],
    ],
    [
      "as a list in a tag",
      hermes,
      '<tool_call>[{"name": "get_time"}, {"name": "get_time"}]</tool_call>',
      "",
      [time, time],
    ],
    ["bare", llama3, `{"name": "get_weather", "parameters": ${paris}}`, "", [weather]],
    [
      "bare, typed",
      llama3,
      ` {"type": "function", "name": "get_weather", "parameters": ${paris}}`,
      "",
      [weather],
    ],
    [
      "bare and several",
      llama3,
      `{"name": "get_time", "parameters": {}}; {"name": "get_weather", "parameters": ${paris}}`,
      "",
      [time, weather],
    ],
    [
      "behind a python tag",
      llama3,
      `<|python_tag|>{"name": "get_weather", "parameters": ${paris}}`,
      "",
      [weather],
    ],
    [
      "behind content and a python tag",
      llama3,
      `I look: <|python_tag|>{"name": "get_time", "parameters": {}}`,
      "I look:",
      [time],
    ],
    [
      "in Mistral's list",
      mistral,
      `[TOOL_CALLS] [{"name": "get_weather", "arguments": ${paris}, "id": "abcdefghi"}, {"name": "get_time", "arguments": {}}]`,
      "",
      [weather, time],
    ],
    [
      "in Mistral's list, then content",
      mistral,
      '[TOOL_CALLS][{"name": "get_time", "arguments": {}}] Done [1].',
      "Done [1].",
      [time],
    ],
    [
      "with Mistral's [ARGS]",
      mistralArgs,
      `Wait.[TOOL_CALLS]get_weather[ARGS]${paris}[TOOL_CALLS]get_time[ARGS]{}`,
      "Wait.",
      [weather, time],
    ],
    [
      "with Mistral's [CALL_ID]",
      mistralArgs,
      `[TOOL_CALLS]get_weather[CALL_ID]a1B2c3D4e[ARGS]${paris}`,
      "",
      [weather],
    ],
    ["of Mistral, the mark left out", mistralArgs, `[TOOL_CALLS]get_weather${paris}`, "", [weather]],
  ])("%s", (_, format, output, text, calls) => {
    for (const pieces of [[output], output]) {
      expect(read(pieces, format)).toEqual({ text, calls, reasoning: "" });
    }
  });

  it.each<[string, CallFormat, string]>([
    ["no calls", hermes, "  Hello, **you**.\n\n"],
    ["an unknown name", hermes, tagged("delete_all", "{}")],
    ["no JSON", hermes, "Use <tool_call> so:\n <tool_call>print(1)</tool_call>"],
    ["a name that is no text", hermes, '<tool_call>{"name": 5}</tool_call>'],
    ["other JSON", hermes, '<tool_call>{"city": "Paris"}</tool_call>'],
    ["a JSON answer", llama3, '{"city": "Paris", "name": "get_weather"}'],
    ["a JSON answer with a name", llama3, '{"name": "Paris"}'],
    ["JSON behind content", llama3, 'So: {"name": "get_weather", "parameters": {}}'],
    ["code", llama3, "<|python_tag|>print(1)"],
    ["a heading", mistralArgs, "[TOOL_CALLS] get_weather is a tool"],
    ["the beginning of an opener", hermes, "a < b \n<tool"],
    ["the beginning of a call", hermes, 'x\n<tool_call>\n{"name": "get_wea'],
    ["the beginning of a call in one that is none", hermes, "<tool_call> <tool_call>\n{"],
  ])("leave what isn't one in the content, to the letter: %s", (_, format, output) => {
    for (const pieces of [[output], output]) {
      expect(read(pieces, format)).toEqual({ text: output, calls: [], reasoning: "" });
    }
  });

  it("are found behind text that looks like one", () => {
    const output = `<tool_call>oops<tool_call>{"name": "get_time"}</tool_call>`;
    expect(read(output, hermes)).toEqual({ text: "<tool_call>oops", calls: [time], reasoning: "" });
  });

  it("are content when no tool may be called", () => {
    const output = tagged(...weather);
    expect(read(output, hermes, { names: new Set() }).text).toBe(output);
  });

  it("go out as soon as the name is known, arguments as they come", () => {
    const parser = createOutputParser({ format: hermes, names: NAMES, newId: () => "call_1" });
    expect(parser.push("Hi \n<tool_")).toEqual([{ type: "text", text: "Hi" }]);
    expect(parser.push('call>\n{"name": "get_weather')).toEqual([]);
    expect(parser.push('"')).toEqual([{ type: "toolCall", index: 0, id: "call_1", name: "get_weather" }]);
    expect(parser.push(', "arguments": {"ci')).toEqual([{ type: "toolArguments", index: 0, text: '{"ci' }]);
    expect(parser.push('ty": "}')).toEqual([{ type: "toolArguments", index: 0, text: 'ty": "}' }]);
    expect(parser.push('"} ')).toEqual([{ type: "toolArguments", index: 0, text: '"}' }]);
    expect(parser.push("}\n</tool_call>\n")).toEqual([]);
    expect(parser.end("stop")).toEqual([]);
  });

  it("have ids in the form the model's template takes", () => {
    const ids = (format: CallFormat, output: string) =>
      createOutputParser({ format, names: NAMES })
        .push(output)
        .flatMap((event) => (event.type === "toolCall" ? [event.id] : []));
    const two = ids(hermes, `${tagged(...time)}${tagged(...time)}`);
    expect(two).toEqual([expect.stringMatching(/^call_[A-Za-z0-9]{24}$/), expect.stringMatching(/^call_/)]);
    expect(new Set(two).size).toBe(2);
    expect(ids(mistral, '[TOOL_CALLS][{"name": "get_time"}]')).toEqual([
      expect.stringMatching(/^[A-Za-z0-9]{9}$/),
    ]);
  });

  it("keep what they had when they are cut, and drop a head without a name", () => {
    const cut = (output: string) => read(output, hermes, { finish: "length" });
    expect(cut('<tool_call>{"name": "get_weather", "arguments": {"ci').calls).toEqual([
      ["get_weather", '{"ci'],
    ]);
    expect(cut('<tool_call>{"name": "get_weather"').calls).toEqual([["get_weather", ""]]);
    expect(cut('So:\n<tool_call>{"name": "get_wea')).toEqual({ text: "So:", calls: [], reasoning: "" });
    expect(read('{"name": "g', llama3, { finish: "length", isForced: true }).text).toBe("");
  });

  it("end at JSON that can't go on, and the rest is content", () => {
    expect(
      read('<tool_call>{"name": "get_weather", "arguments": {"a": 1</tool_call> Sorry.', hermes),
    ).toEqual({
      text: "Sorry.",
      calls: [["get_weather", '{"a": 1']],
      reasoning: "",
    });
  });

  it("are at most as many as were asked for", () => {
    const parser = createOutputParser({ format: hermes, names: NAMES, maxCalls: 1 });
    expect(join(parser.push(`x ${tagged(...time)}${tagged(...weather)} y`))).toEqual({
      text: "x",
      calls: [time],
      reasoning: "",
    });
    expect(parser.isDone()).toBe(true);
  });
});

describe("reasoning in a model's output", () => {
  it.each<[string, string, boolean, Partial<Answer>]>([
    [
      "at the start",
      "<think>\nHm.\n\nYes.\n</think>\n\nHello",
      false,
      { reasoning: "Hm.\n\nYes.", text: "Hello" },
    ],
    ["behind whitespace", "\n<think>Hm</think>Hello ", false, { reasoning: "Hm", text: "Hello " }],
    [
      "opened by the prompt",
      "Hm < </thin\n</think>\n\nHello",
      true,
      { reasoning: "Hm < </thin", text: "Hello" },
    ],
    [
      "before a call",
      `<think>\nHm\n</think>\n\n${tagged(...time)}`,
      false,
      { reasoning: "Hm", text: "", calls: [time] },
    ],
    [
      "that names the call's tag",
      `<think>I use <tool_call></think>\n${tagged(...time)}`,
      false,
      { reasoning: "I use <tool_call>", calls: [time] },
    ],
    ["that is empty", "<think>\n\n</think>\n\nHello", false, { reasoning: "", text: "Hello" }],
    ["that never ends", "<think>\nHm\nyes </th", false, { reasoning: "Hm\nyes </th", text: "" }],
    ["that is not there", " Hello <think>", false, { reasoning: "", text: " Hello <think>" }],
    ["that only begins", " <thi", false, { reasoning: "", text: " <thi" }],
  ])("%s", (_, output, startsOpen, answer) => {
    for (const pieces of [[output], output]) {
      expect(read(pieces, hermes, { reasoning: { ...THINK, startsOpen } })).toMatchObject(answer);
    }
  });
});
