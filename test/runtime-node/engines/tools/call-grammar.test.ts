import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { CallFormat } from "../../../../runtime-node/engines/tools/call-format.ts";
import { callGrammar } from "../../../../runtime-node/engines/tools/call-grammar.ts";
import { spellCalls } from "../../../../runtime-node/engines/tools/described-tools.ts";
import { createOutputParser } from "../../../../runtime-node/engines/tools/output-parser.ts";
import type { Reasoning } from "../../../../runtime-node/engines/tools/reasoning.ts";
import type { ToolFunction, ToolUse } from "../../../../shared/openai/tools.ts";
import { createMatcher } from "../grammar/gbnf-matcher.ts";
import { FORMATS } from "./formats.ts";

const WEATHER: ToolFunction = {
  name: "get_weather",
  parameters: {
    type: "object",
    properties: { city: { type: "string" }, unit: { enum: ["C", "F"] } },
    required: ["city"],
    additionalProperties: false,
  },
  strict: true,
};
const TIME: ToolFunction = {
  name: "get_time",
  parameters: { type: "object", properties: { zone: { type: "integer" } }, required: ["zone"] },
  strict: false,
};
const REQUIRED: ToolUse = {
  functions: [WEATHER, TIME],
  choice: "required",
  allowed: new Set(["get_weather", "get_time"]),
  parallel: true,
  legacy: false,
};
const AUTO: ToolUse = { ...REQUIRED, choice: "auto" };
const weather = { name: "get_weather", arguments: '{"city": "Paris", "unit": "C"}' };
const time = { name: "get_time", arguments: '{"zone": 2}' };
const ALL = Object.entries(FORMATS);

function matcher(use: ToolUse, format: CallFormat, reasoning?: Reasoning): (text: string) => boolean {
  const grammar = callGrammar(use, format, reasoning);
  if (grammar === undefined) throw new Error("no grammar");
  return createMatcher(grammar).matches;
}

function spelled(format: CallFormat, ...calls: readonly (typeof weather)[]): string {
  return spellCalls(calls, format.spelling);
}

describe.each(ALL)("forced calls in the format %s", (_, format) => {
  const matches = matcher(REQUIRED, format);

  it("are the model's own, with arguments by the schema", () => {
    expect(matches(spelled(format, weather))).toBe(true);
    expect(matches(spelled(format, { ...weather, arguments: '{"city":"P}"}' }))).toBe(true);
    expect(matches(spelled(format, { ...weather, arguments: '{"unit": "C"}' }))).toBe(false);
    expect(matches(spelled(format, { ...time, arguments: '{"zone": "2"}' }))).toBe(false);
    expect(matches(spelled(format, { ...time, name: "get_tim" }))).toBe(false);
    expect(matches("I don't know.")).toBe(false);
    expect(matches("")).toBe(false);
  });

  it("are several only when that is allowed", () => {
    const two = spelled(format, weather, time);
    expect(matches(two)).toBe(true);
    expect(matcher({ ...REQUIRED, parallel: false }, format)(two)).toBe(false);
    expect(matcher(REQUIRED, { ...format, hasParallelCalls: false })(two)).toBe(false);
    expect(matches(spelled(format, ...Array.from({ length: 17 }, () => time)))).toBe(false);
  });

  it("are of allowed tools only", () => {
    const only = matcher({ ...REQUIRED, allowed: new Set(["get_time"]) }, format);
    expect(only(spelled(format, time))).toBe(true);
    expect(only(spelled(format, weather))).toBe(false);
  });

  it("come behind reasoning where the model thinks", () => {
    const tags = { open: "<think>", close: "</think>" };
    const call = spelled(format, time);
    const may = matcher(REQUIRED, format, { ...tags, startsOpen: false });
    expect(may(call)).toBe(true);
    expect(may(`<think>\nHm <, </thi, <tool_call>.\n</think>\n\n${call}`)).toBe(true);
    expect(may(`<think>Hm</think>Well: ${call}`)).toBe(false);
    const open = matcher(REQUIRED, format, { ...tags, startsOpen: true });
    expect(open(`Hm.\n</think>\n\n${call}`)).toBe(true);
    expect(open(call)).toBe(false);
  });

  it("are read again by the parser", () => {
    const parser = createOutputParser({ format, names: REQUIRED.allowed, isForced: true });
    const events = [...parser.push(spelled(format, weather, time)), ...parser.end("stop")];
    expect(events.flatMap((event) => (event.type === "toolArguments" ? [event.text] : []))).toEqual([
      weather.arguments,
      time.arguments,
    ]);
    expect(events.some((event) => event.type === "text")).toBe(false);
  });
});

describe.each(ALL)("the model's own calls with a strict tool, in the format %s", (_, format) => {
  const matches = matcher(AUTO, format);
  const { opener, isBareAtStart } = format.reading;

  it("are held to the schema, other tools to an object", () => {
    expect(matches(spelled(format, weather))).toBe(true);
    expect(matches(spelled(format, { ...weather, arguments: '{"city": 5}' }))).toBe(false);
    expect(matches(spelled(format, { ...time, arguments: '{"any": ["thing"]}' }))).toBe(true);
    expect(matches(spelled(format, { ...time, name: "other" }))).toBe(false);
  });

  it("may follow text", () => {
    const call = spelled(format, weather);
    const marked = call.startsWith(opener) ? call : `${opener}${call}`;
    expect(matches(`Let me see < you.\n${marked}`)).toBe(true);
    expect(matches(`Let me see.\n${opener}nothing`)).toBe(false);
  });

  it("leave any other text as it is", () => {
    const part = fc.constantFrom(
      opener,
      opener.slice(0, 4),
      opener.slice(3),
      "<",
      "[",
      "{",
      " ",
      "\n",
      "é🦉",
      "a",
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 8 }), (parts) => {
        const text = parts.join("");
        const isCall = text.includes(opener) || (isBareAtStart && text.trimStart().startsWith("{"));
        expect(matches(text)).toBe(!isCall);
      }),
      { numRuns: 200 },
    );
  });
});

describe("a grammar for calls", () => {
  it.each<[string, ToolUse]>([
    ["with choice none", { ...REQUIRED, choice: "none" }],
    ["with choice auto and no strict tool", { ...AUTO, functions: [TIME] }],
    ["when the strict tool isn't allowed", { ...AUTO, allowed: new Set(["get_time"]) }],
  ])("isn't needed %s", (_, use) => {
    expect(callGrammar(use, FORMATS.hermes, undefined)).toBeUndefined();
  });

  it.each([
    [false, "tools[1].function.parameters"],
    [true, "functions[1].parameters"],
  ])("refuses a schema that has none, by tool, keyword and path", (legacy, param) => {
    const bad = {
      ...TIME,
      parameters: { type: "object", properties: { a: { type: "string", pattern: "(" } } },
    };
    expect(() =>
      callGrammar({ ...REQUIRED, legacy, functions: [WEATHER, bad] }, FORMATS.hermes, undefined),
    ).toThrow(
      expect.objectContaining({
        status: 400,
        param,
        message: expect.stringMatching(/'get_time'.*`pattern` at `#\/properties\/a\/pattern`/),
      }),
    );
  });

  it("doesn't compile what may not be called", () => {
    const bad = { ...TIME, parameters: { type: "object", properties: { a: { pattern: "(" } } } };
    const use = { ...REQUIRED, functions: [WEATHER, bad], allowed: new Set(["get_weather"]) };
    expect(callGrammar(use, FORMATS.hermes, undefined)).toContain("get_weather");
  });

  it("takes parameters that don't say that they are an object", () => {
    const loose = { ...TIME, parameters: { properties: { zone: { type: "integer" } }, required: ["zone"] } };
    const matches = matcher({ ...REQUIRED, functions: [loose] }, FORMATS.hermes);
    expect(matches(spelled(FORMATS.hermes, time))).toBe(true);
    expect(matches(spelled(FORMATS.hermes, { ...time, arguments: "5" }))).toBe(false);
  });
});
