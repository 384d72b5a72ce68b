import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { createChatTemplate } from "../../runtime-node/engines/chat-template.ts";
import { chatRequest, parseBody } from "../../shared/openai/schemas.ts";
import type { Json } from "../harness/wire.ts";

const SOURCE = readFileSync(
  new URL("../../runtime-node/models/demo/chat_template.jinja", import.meta.url),
  "utf8",
);
const options = {
  bosToken: "<|bos|>",
  eosToken: "<|im_end|>",
  controlSpellings: ["<|im_start|>", "<|im_end|>"],
};
const demo = createChatTemplate({ ...options, source: SOURCE });
const chatml = createChatTemplate({ ...options, source: undefined });

function render(template: typeof demo, messages: Json[]): string {
  const parsed = parseBody(chatRequest, { model: "m", messages });
  return template
    .render({ messages: parsed.messages })
    .map(({ text }) => text)
    .join("");
}

const TURNS: Json[] = [
  { role: "developer", content: "Be brief." },
  {
    role: "user",
    content: [
      { type: "text", text: "Weather" },
      { type: "text", text: "in Oslo?" },
    ],
    name: "ann",
  },
  {
    role: "assistant",
    content: null,
    tool_calls: [
      { id: "call_1", type: "function", function: { name: "weather", arguments: '{"city":"Oslo"}' } },
    ],
  },
  { role: "tool", tool_call_id: "call_1", content: [{ type: "text", text: "4 degrees" }] },
  { role: "system", content: "Answer in English." },
  { role: "assistant", content: "4 degrees." },
  { role: "user", content: "Thanks" },
];

describe("C9 every role and form of content reaches the template", () => {
  it("of the demo model", () => {
    expect(render(demo, TURNS)).toBe(
      [
        "<|im_start|>system\nBe brief.<|im_end|>\n",
        "<|im_start|>user\nWeather\nin Oslo?<|im_end|>\n",
        '<|im_start|>assistant\n<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call><|im_end|>\n',
        "<|im_start|>user\n<tool_response>\n4 degrees\n</tool_response><|im_end|>\n",
        "<|im_start|>system\nAnswer in English.<|im_end|>\n",
        "<|im_start|>assistant\n4 degrees.<|im_end|>\n",
        "<|im_start|>user\nThanks<|im_end|>\n",
        "<|im_start|>assistant\n",
      ].join(""),
    );
  });

  it("of a base model, which gets ChatML and no developer", () => {
    const messages = [
      { role: "developer", content: "Be brief." },
      { role: "user", content: "Hi" },
      { role: "assistant" },
    ];
    expect(render(chatml, messages)).toBe(
      "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<|im_end|>\n<|im_start|>assistant\n",
    );
  });

  it("with the client's own template arguments", () => {
    const source = "{{ messages[0].content }}{% if thinking %} /think{% endif %}";
    const template = createChatTemplate({ ...options, source });
    const { messages } = parseBody(chatRequest, { model: "m", messages: [{ role: "user", content: "x" }] });
    const text = (templateArguments: Record<string, unknown>) =>
      template
        .render({ messages, templateArguments })
        .map((part) => part.text)
        .join("");
    expect([text({}), text({ thinking: true })]).toEqual(["x", "x /think"]);
  });
});
