import { expect } from "vitest";
import type { CallFormat } from "../../../../runtime-node/engines/tools/call-format.ts";
import {
  createOutputParser,
  type OutputEvent,
  type OutputParserOptions,
} from "../../../../runtime-node/engines/tools/output-parser.ts";

export const NAMES = new Set(["get_weather", "get_time"]);
export const THINK = { open: "<think>", close: "</think>", startsOpen: false };

export interface Answer {
  readonly text: string;
  readonly reasoning: string;
  readonly calls: readonly (readonly [name: string, args: string])[];
}

export type Options = Partial<OutputParserOptions> & { readonly finish?: "stop" | "length" };

export function read(pieces: Iterable<string>, format: CallFormat, options: Options = {}): Answer {
  const parser = createOutputParser({ format, names: NAMES, ...options });
  const events: OutputEvent[] = [];
  for (const piece of pieces) events.push(...parser.push(piece));
  events.push(...parser.end(options.finish ?? "stop"));
  return join(events);
}

export function join(events: readonly OutputEvent[]): Answer {
  const calls: [string, string][] = [];
  let text = "";
  let reasoning = "";
  for (const event of events) {
    if (event.type === "text") text += event.text;
    else if (event.type === "reasoning") reasoning += event.text;
    else if (event.type === "toolCall") {
      expect(event.index).toBe(calls.length);
      calls.push([event.name, ""]);
    } else {
      const call = calls[event.index];
      if (call === undefined) throw new Error("arguments before their call");
      call[1] += event.text;
    }
  }
  return { text, reasoning, calls };
}

export const paris = '{"city": "Paris"}';
export const tagged = (name: string, args: string) =>
  `<tool_call>\n{"name": "${name}", "arguments": ${args}}\n</tool_call>`;
export const weather = ["get_weather", paris] as const;
export const time = ["get_time", "{}"] as const;
