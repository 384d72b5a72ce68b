import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { detectCallFormat } from "../../../../runtime-node/engines/tools/call-format.ts";
import { detectReasoning } from "../../../../runtime-node/engines/tools/reasoning.ts";

const QWEN25 = `{%- if tools %}{{- '<|im_start|>system\\n' }}{{- "# Tools\\n\\nFunction signatures are within <tools></tools>" }}
{{- "return a json object within <tool_call></tool_call>:\\n<tool_call>\\n{\\"name\\": <function-name>, \\"arguments\\": <args-json-object>}\\n</tool_call>" }}{%- endif %}
{{- '\\n<tool_call>\\n{"name": "' + tool_call.name + '", "arguments": ' }}{{- tool_call.arguments | tojson }}{{- '}\\n</tool_call>' }}`;
const QWEN3 = `${QWEN25}{%- if tool_call.arguments is string %}{{- tool_call.arguments }}{%- endif %}
{%- set content = content.split('</think>')[-1].lstrip('\\n') %}
{%- if add_generation_prompt %}{%- if enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}{%- endif %}`;
const HERMES3 = `{{- '<tools>' }}{%- for tool in tools %}{{- tool|tojson }}{%- endfor %}{{- '</tools><tool_call>\\n{"name": <function-name>, "arguments": <args-dict>}\\n</tool_call>' }}`;
const QWEN3_CODER = `{%- if tools %}{{- '<tool_call>\\n<function=' + tool_call.name + '>\\n</function>\\n</tool_call>' }}{%- endif %}`;
const LLAMA31 = `{%- if not tools_in_user_message is defined %}{%- set tools_in_user_message = true %}{%- endif %}{%- if tools is not none %}
{{- "<|start_header_id|>user<|end_header_id|>" }}{{- 'Respond in the format {"name": function name, "parameters": dictionary of argument name and its value}.' }}{%- endif %}
{%- if message.tool_calls|length != 1 %}{{- raise_exception("This model only supports single tool-calls at once!") }}{%- endif %}
{{- "<|python_tag|>" + tool_call.name + ".call(" }}{{- '"parameters": ' }}{{- tool_call.arguments | tojson }}`;
const MISTRAL_NEMO = `{%- if not tools is defined %}{%- set tools = none %}{%- endif %}{{- "[TOOL_CALLS][" }}{%- set out = tool_call.function|tojson %}
{%- if tool_call.id|length != 9 %}{{- raise_exception("Tool call IDs should be alphanumeric strings with length 9!") }}{%- endif %}`;
const MISTRAL_7B = MISTRAL_NEMO.replace("[TOOL_CALLS][", "[TOOL_CALLS] [");
const MISTRAL_SMALL32 = `{%- if tools %}{{- '[AVAILABLE_TOOLS]' }}{%- endif %}{%- if arguments is not string %}{%- set arguments = arguments|tojson %}{%- endif %}{{- '[TOOL_CALLS]' + tool['function']['name'] + '[ARGS]' + arguments }}`;
const DEEPSEEK_R1 = `{%- for message in messages %}{{'<｜tool▁calls▁begin｜>' + tool['function']['name'] + tool['function']['arguments'] + '<｜tool▁call▁end｜>'}}
{%- endfor %}{% if '</think>' in content %}{% endif %}{{'<｜Assistant｜><think>\\n'}}`;
const CHATML = `{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>'}}{% endfor %}`;
const GEMMA2 = `{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}`;
const DEMO = readFileSync(
  new URL("../../../../runtime-node/models/demo/chat_template.jinja", import.meta.url),
  "utf8",
);

describe("the call format of a template", () => {
  it.each([
    [
      "Qwen 2.5",
      QWEN25,
      { id: "hermes", isInTemplate: true, historyArguments: "object", hasParallelCalls: true },
    ],
    ["Qwen 3", QWEN3, { id: "hermes", historyArguments: "object", callIds: "openai" }],
    ["Hermes 3", HERMES3, { id: "hermes" }],
    ["the demo model", DEMO, { id: "hermes", isInTemplate: true, historyArguments: "object" }],
    ["Qwen3 Coder, whose calls are XML", QWEN3_CODER, { id: "generic", isInTemplate: false }],
    ["Llama 3.1", LLAMA31, { id: "llama3", hasParallelCalls: false, historyArguments: "object" }],
    ["Mistral Nemo", MISTRAL_NEMO, { id: "mistral", callIds: "nine" }],
    ["Mistral 7B", MISTRAL_7B, { id: "mistral", spelling: { begin: "[TOOL_CALLS] [" } }],
    [
      "Mistral Small 3.2",
      MISTRAL_SMALL32,
      { id: "mistral-args", callIds: "nine", historyArguments: "object" },
    ],
    ["DeepSeek R1, which describes no tools", DEEPSEEK_R1, { id: "generic", historyArguments: "text" }],
    ["ChatML", CHATML, { id: "generic", isInTemplate: false, hasSystemRole: true }],
    ["Gemma 2", GEMMA2, { id: "generic", hasSystemRole: false }],
    ["no template", undefined, { id: "generic", isInTemplate: false }],
  ])("of %s", (_, template, format) => {
    expect(detectCallFormat(template)).toMatchObject(format);
  });
});

describe("reasoning", () => {
  it.each([
    ["Qwen 3", QWEN3, "<|im_start|>assistant\n", { open: "<think>", startsOpen: false }],
    ["Qwen 3 told not to think", QWEN3, "assistant\n<think>\n\n</think>\n\n", { startsOpen: false }],
    ["DeepSeek R1", DEEPSEEK_R1, "<｜Assistant｜><think>\n", { startsOpen: true }],
    ["Magistral", "[THINK]{{ x }}[/THINK]", "[/INST]", { open: "[THINK]", startsOpen: false }],
  ])("of %s", (_, template, prompt, reasoning) => {
    expect(detectReasoning(template, prompt)).toMatchObject(reasoning);
  });

  it("is none where the template has no tags", () => {
    expect(detectReasoning(CHATML, "<think>")).toBeUndefined();
    expect(detectReasoning(undefined, "<think>")).toBeUndefined();
  });
});
