import { type CallFormat, detectCallFormat } from "../../../../runtime-node/engines/tools/call-format.ts";

/** One of each format, from the least template that shows it. */
export const FORMATS = {
  hermes: format("<tool_call>{{ tool_call.arguments | tojson }}</tool_call>"),
  llama3: format("<|python_tag|>"),
  mistral: format("[TOOL_CALLS] ["),
  mistralArgs: format("[TOOL_CALLS][ARGS]{% if arguments is not string %}"),
  generic: detectCallFormat(undefined),
};

function format(marks: string): CallFormat {
  return detectCallFormat(`{% if tools %}${marks}{% endif %}`);
}
