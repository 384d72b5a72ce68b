import { z } from "zod";
import { type ApiError, invalidRequest, unsupported } from "./errors.ts";
import { type ChatMessage, type ChatRequest, formatPath, optional, parseBody } from "./schemas.ts";

/**
 * What a chat request says of tools, read for an engine that parses calls itself: `tools` and the deprecated
 * `functions` in one form. Engines that answer OpenAI's wire themselves get the body untouched and don't need it.
 */

export interface ToolFunction {
  readonly name: string;
  readonly description?: string;
  /** JSON Schema of the arguments. */
  readonly parameters: Readonly<Record<string, unknown>>;
  /** Arguments are held to the schema also when the model calls by itself. */
  readonly strict: boolean;
}

export interface ToolUse {
  /** In the client's order; an index is that of `tools` (`functions` when legacy). */
  readonly functions: readonly ToolFunction[];
  readonly choice: "none" | "auto" | "required";
  /** Names that may be called: all, the named one, or those of `allowed_tools`. */
  readonly allowed: ReadonlySet<string>;
  /** False: at most one call. */
  readonly parallel: boolean;
  /** Asked with `functions`: the answer carries `function_call`, and finishes with it. */
  readonly legacy: boolean;
}

/** Most tools of one request: OpenAI's own limit. */
const MAX_TOOLS = 128;
/** An omitted `parameters` means a function without any (OpenAI's reference of `FunctionObject`). */
const NO_PARAMETERS = { type: "object", properties: {}, additionalProperties: false };
const NO_TOOLS: ToolUse = {
  functions: [],
  choice: "none",
  allowed: new Set(),
  parallel: false,
  legacy: false,
};

const functionName = z.string().regex(/^[a-zA-Z0-9_-]{1,64}$/, {
  error: "expected 1 to 64 letters, digits, underscores or dashes",
});
const functionDefinition = z.looseObject({
  name: functionName,
  description: optional(z.string()),
  parameters: optional(z.record(z.string(), z.unknown())),
  strict: optional(z.boolean()),
});
const modes = z.enum(["none", "auto", "required"], {
  error: "expected `none`, `auto`, `required`, or an object that names tools",
});
const namedTool = z.looseObject({
  type: z.literal("function"),
  function: z.looseObject({ name: z.string() }),
});
const customTool = z.looseObject({ type: z.literal("custom") });

const toolFields = z.looseObject({
  tools: optional(
    z
      .array(
        z.discriminatedUnion(
          "type",
          [z.looseObject({ type: z.literal("function"), function: functionDefinition }), customTool],
          { error: "expected `function`" },
        ),
      )
      .max(MAX_TOOLS, { error: `at most ${MAX_TOOLS} tools are allowed` }),
  ),
  tool_choice: optional(
    z.union([
      modes,
      z.discriminatedUnion(
        "type",
        [
          namedTool,
          customTool,
          z.looseObject({
            type: z.literal("allowed_tools"),
            allowed_tools: z.looseObject({
              mode: z.enum(["auto", "required"]),
              tools: z.array(namedTool).min(1),
            }),
          }),
        ],
        { error: "expected `function` or `allowed_tools`" },
      ),
    ]),
  ),
  parallel_tool_calls: optional(z.boolean()),
  functions: optional(
    z.array(functionDefinition).max(MAX_TOOLS, { error: `at most ${MAX_TOOLS} functions are allowed` }),
  ),
  function_call: optional(
    z.union([
      z.enum(["none", "auto"], { error: "expected `none`, `auto`, or an object with a `name`" }),
      z.looseObject({ name: z.string() }),
    ]),
  ),
});
type ToolFields = z.infer<typeof toolFields>;

/**
 * The tools of a request and what may be done with them. Without tools: no functions, choice `none`.
 * Throws a 400 `ApiError` whose `param` is the field at fault.
 */
export function readToolUse(body: ChatRequest): ToolUse {
  const fields = parseBody(toolFields, body);
  const hasTools = (fields.tools?.length ?? 0) > 0;
  const hasFunctions = (fields.functions?.length ?? 0) > 0;
  if (hasTools && hasFunctions) {
    throw invalidRequest(
      "`functions` is deprecated and can't be used with `tools`; move them into `tools`.",
      "functions",
    );
  }
  if (fields.tool_choice !== undefined && !hasTools) {
    throw invalidRequest("'tool_choice' is only allowed when 'tools' are specified.", "tool_choice");
  }
  if (fields.function_call !== undefined && !hasFunctions) {
    throw invalidRequest("'function_call' is only allowed when 'functions' are specified.", "function_call");
  }
  if (hasTools) return toolUse(fields);
  return hasFunctions ? legacyToolUse(fields) : NO_TOOLS;
}

function toolUse(fields: ToolFields): ToolUse {
  const functions = (fields.tools ?? []).map((tool, i) => {
    if (tool.type === "custom") throw customUnsupported(`tools[${i}].type`);
    return toFunction(tool.function);
  });
  const names = uniqueNames(functions, (i) => `tools[${i}].function.name`);
  const use = { functions, allowed: names, parallel: fields.parallel_tool_calls ?? true, legacy: false };
  const choice = fields.tool_choice ?? "auto";
  if (typeof choice === "string") return { ...use, choice };
  switch (choice.type) {
    case "custom":
      throw customUnsupported("tool_choice.type");
    case "function":
      known(choice.function.name, names, "tool_choice.function.name", "tools");
      return { ...use, choice: "required", allowed: new Set([choice.function.name]), parallel: false };
    case "allowed_tools": {
      const { mode, tools } = choice.allowed_tools;
      for (const [i, tool] of tools.entries()) {
        known(tool.function.name, names, `tool_choice.allowed_tools.tools[${i}].function.name`, "tools");
      }
      return { ...use, choice: mode, allowed: new Set(tools.map((tool) => tool.function.name)) };
    }
    default:
      return choice satisfies never;
  }
}

function legacyToolUse(fields: ToolFields): ToolUse {
  const functions = (fields.functions ?? []).map(toFunction);
  const names = uniqueNames(functions, (i) => `functions[${i}].name`);
  const use = { functions, allowed: names, parallel: false, legacy: true };
  const choice = fields.function_call ?? "auto";
  if (typeof choice === "string") return { ...use, choice };
  known(choice.name, names, "function_call.name", "functions");
  return { ...use, choice: "required", allowed: new Set([choice.name]) };
}

function toFunction(definition: z.infer<typeof functionDefinition>): ToolFunction {
  const { name, description, parameters = NO_PARAMETERS, strict = false } = definition;
  return { name, parameters, strict, ...(description === undefined ? {} : { description }) };
}

function uniqueNames(functions: readonly ToolFunction[], param: (i: number) => string): ReadonlySet<string> {
  const names = new Set<string>();
  for (const [i, { name }] of functions.entries()) {
    if (names.has(name)) {
      throw invalidRequest(
        `Two tools have the name '${name}'; names must be unique.`,
        param(i),
        "invalid_value",
      );
    }
    names.add(name);
  }
  return names;
}

function known(name: string, names: ReadonlySet<string>, param: string, list: string): void {
  if (names.has(name)) return;
  const found = [...names].slice(0, 20).join(", ");
  throw invalidRequest(`Tool choice '${name}' is not in '${list}': ${found}.`, param, "invalid_value");
}

function customUnsupported(param: string): ApiError {
  return unsupported(
    param,
    "Tools of type `custom` are not supported by this engine; use a tool of type `function`.",
  );
}

/**
 * Checks that calls and results in a conversation belong together: every `tool` message answers a call made before
 * it, and every call is answered before anyone else speaks. Throws a 400 `ApiError` in OpenAI's words.
 */
export function checkToolMessages(messages: readonly ChatMessage[]): void {
  const called = new Set<string>();
  let waiting = new Set<string>();
  let caller = 0;
  for (const [i, message] of messages.entries()) {
    if (message.role === "tool") {
      if (!called.has(message.tool_call_id)) throw unknownCall(i, message.tool_call_id);
      waiting.delete(message.tool_call_id);
      continue;
    }
    if (waiting.size > 0) throw unanswered(caller, waiting);
    if (message.role !== "assistant") continue;
    waiting = new Set((message.tool_calls ?? []).map((call) => call.id));
    caller = i;
    for (const id of waiting) called.add(id);
  }
  if (waiting.size > 0) throw unanswered(caller, waiting);
}

function unknownCall(i: number, id: string): ApiError {
  return invalidRequest(
    `Invalid parameter: messages with role 'tool' must be a response to a preceding message with 'tool_calls'; '${id}' is the id of none.`,
    formatPath(["messages", i, "tool_call_id"]),
  );
}

function unanswered(i: number, ids: ReadonlySet<string>): ApiError {
  return invalidRequest(
    `An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: ${[...ids].join(", ")}`,
    formatPath(["messages", i, "tool_calls"]),
  );
}
