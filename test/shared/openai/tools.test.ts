import { describe, expect, it } from "vitest";
import { ApiError } from "../../../shared/openai/errors.ts";
import { type ChatRequest, chatRequest, parseBody } from "../../../shared/openai/schemas.ts";
import { checkToolMessages, readToolUse } from "../../../shared/openai/tools.ts";

const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const weather = { type: "function", function: { name: "get_weather", description: "Weather", parameters } };
const time = { type: "function", function: { name: "get_time" } };
const named = (name: string) => ({ type: "function", function: { name } });

function request(fields: object): ChatRequest {
  return parseBody(chatRequest, { model: "m", messages: [{ role: "user", content: "hi" }], ...fields });
}

function refusal(work: () => unknown): Pick<ApiError, "status" | "param" | "message"> {
  try {
    work();
  } catch (error) {
    if (error instanceof ApiError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

describe("the tools of a request", () => {
  it.each([
    ["no field", {}],
    ["an empty list", { tools: [] }],
    ["nulls", { tools: null, tool_choice: null, functions: null, function_call: null }],
  ])("are none with %s", (_, fields) => {
    expect(readToolUse(request(fields))).toMatchObject({ functions: [], choice: "none" });
  });

  it("are read with their defaults", () => {
    const use = readToolUse(request({ tools: [weather, time] }));
    expect(use.functions).toEqual([
      { name: "get_weather", description: "Weather", parameters, strict: false },
      {
        name: "get_time",
        parameters: { type: "object", properties: {}, additionalProperties: false },
        strict: false,
      },
    ]);
    expect(use).toMatchObject({ choice: "auto", parallel: true, legacy: false });
    expect([...use.allowed]).toEqual(["get_weather", "get_time"]);
  });

  it.each([
    ["none", "none", ["get_weather", "get_time"]],
    ["auto", "auto", ["get_weather", "get_time"]],
    ["required", "required", ["get_weather", "get_time"]],
    [named("get_time"), "required", ["get_time"]],
    [allowed("auto", "get_time"), "auto", ["get_time"]],
    [allowed("required", "get_time", "get_weather"), "required", ["get_time", "get_weather"]],
  ])("take tool_choice %j", (tool_choice, choice, names) => {
    const use = readToolUse(request({ tools: [weather, time], tool_choice }));
    expect([use.choice, [...use.allowed]]).toEqual([choice, names]);
  });

  it.each([
    [{ tools: [weather], parallel_tool_calls: false }, false],
    [{ tools: [weather], parallel_tool_calls: true, tool_choice: "required" }, true],
    [{ tools: [weather], tool_choice: named("get_weather") }, false],
    [{ functions: [weather.function] }, false],
  ])("allow several calls: %j", (fields, parallel) => {
    expect(readToolUse(request(fields)).parallel).toBe(parallel);
  });

  it.each([
    [undefined, "auto", ["get_weather", "get_time"]],
    ["none", "none", ["get_weather", "get_time"]],
    [{ name: "get_time" }, "required", ["get_time"]],
  ])("are the functions of the deprecated form, with function_call %j", (function_call, choice, names) => {
    const use = readToolUse(request({ functions: [weather.function, time.function], function_call }));
    expect([use.legacy, use.choice, [...use.allowed]]).toEqual([true, choice, names]);
  });

  it.each([
    ["tools[0].function", { tools: [{ type: "function" }] }],
    ["tools[0].function.name", { tools: [{ type: "function", function: {} }] }],
    ["tools[0].function.name", { tools: [named("get weather")] }],
    ["tools[0].function.name", { tools: [named("")] }],
    ["tools[0].function.name", { tools: [named("x".repeat(65))] }],
    ["tools[1].function.name", { tools: [weather, named("get_weather")] }],
    [
      "tools[0].function.parameters",
      { tools: [{ type: "function", function: { name: "f", parameters: [] } }] },
    ],
    ["tools[0].function.strict", { tools: [{ type: "function", function: { name: "f", strict: "yes" } }] }],
    ["tools[0].type", { tools: [{ type: "custom", custom: { name: "f" } }] }],
    ["tools[1].type", { tools: [weather, { type: "web_search" }] }],
    ["tools", { tools: Array.from({ length: 129 }, (_, i) => named(`f${i}`)) }],
    ["tool_choice", { tool_choice: "auto" }],
    ["tool_choice", { tools: [], tool_choice: "required" }],
    ["tool_choice", { tools: [weather], tool_choice: "any" }],
    ["tool_choice.type", { tools: [weather], tool_choice: { type: "custom", custom: { name: "f" } } }],
    ["tool_choice.type", { tools: [weather], tool_choice: { type: "file_search" } }],
    ["tool_choice.function", { tools: [weather], tool_choice: { type: "function" } }],
    ["tool_choice.function.name", { tools: [weather], tool_choice: named("get_time") }],
    [
      "tool_choice.allowed_tools.tools[1].function.name",
      { tools: [weather], tool_choice: allowed("auto", "get_weather", "x") },
    ],
    ["tool_choice.allowed_tools.mode", { tools: [weather], tool_choice: allowed("none", "get_weather") }],
    ["parallel_tool_calls", { tools: [weather], parallel_tool_calls: 1 }],
    ["functions", { tools: [weather], functions: [time.function] }],
    ["functions[1].name", { functions: [time.function, time.function] }],
    ["function_call", { function_call: "auto" }],
    ["function_call", { functions: [time.function], function_call: "required" }],
    ["function_call.name", { functions: [time.function], function_call: { name: "get_weather" } }],
  ])("are refused with param %s", (param, fields) => {
    expect(refusal(() => readToolUse(request(fields)))).toMatchObject({ status: 400, param });
  });
});

describe("a conversation with tools", () => {
  const call = (...ids: readonly string[]) => ({
    role: "assistant",
    content: null,
    tool_calls: ids.map((id) => ({ id, type: "function", function: { name: "f", arguments: "{}" } })),
  });
  const result = (tool_call_id: string) => ({ role: "tool", tool_call_id, content: "ok" });
  const user = { role: "user", content: "hi" };
  const check = (...messages: readonly object[]) => checkToolMessages(request({ messages }).messages);

  it.each([
    ["no calls", [user]],
    ["a call and its result", [user, call("a"), result("a")]],
    ["two calls answered in any order", [user, call("a", "b"), result("b"), result("a"), user]],
    ["ids used again in a later turn", [user, call("a"), result("a"), user, call("a"), result("a")]],
    ["an empty list of calls", [user, { role: "assistant", content: "x", tool_calls: [] }, user]],
  ])("is fine with %s", (_, messages) => {
    expect(() => check(...messages)).not.toThrow();
  });

  it.each([
    ["messages[1].tool_call_id", [user, result("a")]],
    ["messages[3].tool_call_id", [user, call("a"), result("a"), result("b")]],
    ["messages[1].tool_calls", [user, call("a"), user]],
    ["messages[1].tool_calls", [user, call("a", "b"), result("a"), user, result("b")]],
    ["messages[1].tool_calls", [user, call("a")]],
  ])("is refused at %s", (param, messages) => {
    expect(refusal(() => check(...messages))).toMatchObject({ status: 400, param });
  });

  it("names the calls that have no result", () => {
    expect(refusal(() => check(user, call("a", "b"), result("a"), user)).message).toMatch(
      /must be followed by tool messages responding to each 'tool_call_id'.*response messages: b$/,
    );
  });
});

function allowed(mode: string, ...names: readonly string[]): object {
  return { type: "allowed_tools", allowed_tools: { mode, tools: names.map(named) } };
}
