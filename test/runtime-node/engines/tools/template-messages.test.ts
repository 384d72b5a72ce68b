import { readFileSync } from "node:fs";
import { Template } from "@huggingface/jinja";
import { describe, expect, it } from "vitest";
import { detectCallFormat } from "../../../../runtime-node/engines/tools/call-format.ts";
import { describeTools } from "../../../../runtime-node/engines/tools/described-tools.ts";
import { messagesForTemplate } from "../../../../runtime-node/engines/tools/template-messages.ts";
import { type ChatMessage, chatRequest, parseBody } from "../../../../shared/openai/schemas.ts";
import type { ToolFunction } from "../../../../shared/openai/tools.ts";
import { FORMATS } from "./formats.ts";

const DEMO = readFileSync(
  new URL("../../../../runtime-node/models/demo/chat_template.jinja", import.meta.url),
  "utf8",
);
const WEATHER: ToolFunction = {
  name: "get_weather",
  description: "Looks outside",
  parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  strict: false,
};
const TOOLS = [WEATHER];

function call(id: string, args: string) {
  return { id, type: "function", function: { name: "get_weather", arguments: args } };
}

const user = { role: "user", content: "Weather in Rome and Oslo?" };
const calls = {
  role: "assistant",
  content: null,
  tool_calls: [call("call_a", '{"city": "Rome"}'), call("call_b", '{"city": "Oslo"}')],
};
const results = [
  {
    role: "tool",
    tool_call_id: "call_b",
    content: [
      { type: "text", text: "cold," },
      { type: "text", text: "wet" },
    ],
  },
  { role: "tool", tool_call_id: "call_a", content: "warm" },
];

function messages(...all: readonly object[]): readonly ChatMessage[] {
  return parseBody(chatRequest, { model: "m", messages: all }).messages;
}

describe("a conversation for a template that takes tools", () => {
  it("has arguments as objects, results as text, and no null", () => {
    const input = messagesForTemplate(messages(user, calls, ...results), FORMATS.hermes, TOOLS);
    expect(input.messages[1]).toMatchObject({
      content: "",
      tool_calls: [
        { function: { arguments: { city: "Rome" } } },
        { function: { arguments: { city: "Oslo" } } },
      ],
    });
    expect(input.messages[2]).toMatchObject({ role: "tool", content: "cold,\nwet" });
    expect(input.tools).toEqual([
      {
        type: "function",
        function: { name: "get_weather", description: "Looks outside", parameters: WEATHER.parameters },
      },
    ]);
  });

  it("has arguments as text where the template prints them", () => {
    const format = detectCallFormat(
      "{% if tools %}<tool_call>{{ x + call.arguments + '</tool_call>' }}{% endif %}",
    );
    const input = messagesForTemplate(messages(user, calls, ...results), format, TOOLS);
    expect(input.messages[1]?.tool_calls?.[0]?.function.arguments).toBe('{"city": "Rome"}');
  });

  it.each([
    ["", {}],
    ['{"city": "Ro', '{"city": "Ro'],
  ])("takes the arguments %j too", (written, read) => {
    const input = messagesForTemplate(
      messages({ ...calls, tool_calls: [call("a", written)] }),
      FORMATS.hermes,
      [],
    );
    expect(input.messages[0]?.tool_calls?.[0]?.function.arguments).toEqual(read);
  });

  it("refuses what is no text", () => {
    const picture = { role: "user", content: [{ type: "image_url", image_url: { url: "https://x/y.png" } }] };
    expect(() => messagesForTemplate(messages(user, picture), FORMATS.hermes, [])).toThrow(
      expect.objectContaining({ status: 400, param: "messages[1].content[0].type" }),
    );
  });

  it("has no `tools` where the model shall see none", () => {
    expect(messagesForTemplate(messages(user), FORMATS.hermes, []).tools).toBeUndefined();
  });

  it("has no `tool_calls` on messages without calls", () => {
    const input = messagesForTemplate(
      messages(user, { role: "assistant", content: "Hi", tool_calls: [] }),
      FORMATS.mistral,
      [],
    );
    expect(Object.keys(input.messages[1] ?? {})).not.toContain("tool_calls");
  });

  it("has one call a message, its result behind it, where the template throws at more", () => {
    const llama3 = { ...FORMATS.llama3, hasParallelCalls: false };
    const input = messagesForTemplate(messages(user, calls, ...results, user), llama3, TOOLS);
    expect(
      input.messages.map((message) => message.tool_calls?.[0]?.id ?? message.tool_call_id ?? message.role),
    ).toEqual(["user", "call_a", "call_a", "call_b", "call_b", "user"]);
  });

  it("has ids of nine letters for Mistral, the same for a call and its result", () => {
    const own = { ...calls, tool_calls: [call("abcDEF123", "{}"), call("call_b", "{}")] };
    const own_results = [{ role: "tool", tool_call_id: "abcDEF123", content: "x" }, results[0] ?? {}];
    const input = messagesForTemplate(messages(user, own, ...own_results), FORMATS.mistral, TOOLS);
    expect(input.messages[1]?.tool_calls?.map(({ id }) => id)).toEqual(["abcDEF123", "000000001"]);
    expect(input.messages.slice(2).map((message) => message.tool_call_id)).toEqual([
      "abcDEF123",
      "000000001",
    ]);
  });

  it("has the deprecated function_call as a call, and its result", () => {
    const legacy = {
      role: "assistant",
      content: null,
      function_call: { name: "get_weather", arguments: "{}" },
    };
    const input = messagesForTemplate(
      messages(user, legacy, { role: "function", name: "get_weather", content: "warm" }),
      FORMATS.hermes,
      TOOLS,
    );
    const [, assistant, result] = input.messages;
    expect(assistant?.tool_calls?.[0]?.function).toEqual({ name: "get_weather", arguments: {} });
    expect(result).toMatchObject({
      role: "tool",
      content: "warm",
      tool_call_id: assistant?.tool_calls?.[0]?.id,
    });
  });

  it("gives the demo's template what it was trained on", () => {
    const { messages: given, tools } = messagesForTemplate(
      messages(user, calls, ...results),
      detectCallFormat(DEMO),
      TOOLS,
    );
    expect(new Template(DEMO).render({ messages: given, tools, add_generation_prompt: true })).toBe(
      [
        "<|im_start|>system\nTools: get_weather(city)<|im_end|>",
        "<|im_start|>user\nWeather in Rome and Oslo?<|im_end|>",
        '<|im_start|>assistant\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "Rome"}}\n</tool_call>',
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call><|im_end|>',
        "<|im_start|>user\n<tool_response>\ncold,\nwet\n</tool_response>",
        "<tool_response>\nwarm\n</tool_response><|im_end|>",
        "<|im_start|>assistant\n",
      ].join("\n"),
    );
  });
});

describe("a conversation for a template that knows no tools", () => {
  const { spelling } = FORMATS.generic;
  const description = describeTools(TOOLS, spelling);
  const given = (all: readonly object[], format = FORMATS.generic) =>
    messagesForTemplate(messages(...all), format, TOOLS);

  it("describes them in a system message", () => {
    expect(description).toContain(
      JSON.stringify({ name: "get_weather", description: "Looks outside", parameters: WEATHER.parameters }),
    );
    expect(given([user])).toEqual({
      messages: [{ role: "system", content: description }, expect.objectContaining(user)],
      tools: undefined,
    });
  });

  it("describes them behind the client's own system message", () => {
    const system = { role: "developer", content: "Be brief." };
    expect(given([system, user]).messages[0]).toMatchObject({
      role: "developer",
      content: `Be brief.\n\n${description}`,
    });
    const parts = { role: "system", content: [{ type: "text", text: "Be brief." }] };
    expect(given([parts, user]).messages[0]?.content).toBe(`Be brief.\n\n${description}`);
  });

  it("describes them in the first user message where a system message is refused", () => {
    const input = given([user], { ...FORMATS.generic, hasSystemRole: false });
    expect(input.messages).toEqual([
      expect.objectContaining({ role: "user", content: `${description}\n\n${user.content}` }),
    ]);
  });

  it("writes calls and results as turns that alternate", () => {
    const input = given([
      user,
      { ...calls, content: "I look." },
      ...results,
      { role: "user", content: "And?" },
    ]);
    expect(input.messages.slice(2)).toMatchObject([
      {
        role: "assistant",
        content:
          'I look.\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "Rome"}}\n</tool_call>\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>',
      },
      {
        role: "user",
        content:
          "<tool_response>\ncold,\nwet\n</tool_response>\n<tool_response>\nwarm\n</tool_response>\nAnd?",
      },
    ]);
    expect(input.messages.some((message) => "tool_calls" in message)).toBe(false);
  });
});
