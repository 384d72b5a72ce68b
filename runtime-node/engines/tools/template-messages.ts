import type { ChatMessage } from "../../../shared/openai/schemas.ts";
import type { ToolFunction } from "../../../shared/openai/tools.ts";
import type { CallFormat } from "./call-format.ts";
import { plainMessages } from "./described-tools.ts";
import {
  type AssistantMessage,
  type ModernMessage,
  modernMessages,
  type ToolMessage,
} from "./modern-messages.ts";

/** What a chat template reads: the variables `messages` and `tools`. */
export interface TemplateInput {
  readonly messages: readonly TemplateMessage[];
  /** Undefined: the template gets none, since there are none or a message describes them. */
  readonly tools: readonly TemplateTool[] | undefined;
}

export interface TemplateMessage {
  readonly role: string;
  readonly content: string;
  readonly tool_calls?: readonly TemplateCall[];
  readonly [field: string]: unknown;
}

export interface TemplateCall {
  readonly id: string;
  readonly type: "function";
  /** The arguments as the template wants them: an object, or JSON text. */
  readonly function: { readonly name: string; readonly arguments: unknown };
}

export interface TemplateTool {
  readonly type: "function";
  readonly function: Pick<ToolFunction, "name" | "description" | "parameters">;
}

/**
 * A conversation as the model's template takes it. `functions` are those the model shall see: none when the choice
 * is `none`. Messages must have
 * passed `checkToolMessages`. Throws a 400 `ApiError` at a content part that is no text.
 */
export function messagesForTemplate(
  messages: readonly ChatMessage[],
  format: CallFormat,
  functions: readonly ToolFunction[],
): TemplateInput {
  const modern = modernMessages(messages);
  if (!format.isInTemplate) {
    const { spelling, hasSystemRole } = format;
    return {
      messages: plainMessages(modern, { functions, spelling, hasSystemRole }).map(withoutCalls),
      tools: undefined,
    };
  }
  const apart = format.hasParallelCalls ? modern : callsApart(modern);
  const withIds = format.callIds === "nine" ? nineLetterIds(apart) : apart;
  return {
    messages: withIds.map((message) =>
      message.role === "assistant" ? templateCalls(message, format.historyArguments) : message,
    ),
    tools: functions.length === 0 ? undefined : functions.map(templateTool),
  };
}

function withoutCalls(message: ModernMessage): TemplateMessage {
  return message.role === "assistant" ? templateCalls(message, "text") : message;
}

function templateTool({ name, description, parameters }: ToolFunction): TemplateTool {
  return {
    type: "function",
    function: { name, ...(description === undefined ? {} : { description }), parameters },
  };
}

function templateCalls(message: AssistantMessage, form: CallFormat["historyArguments"]): TemplateMessage {
  const { tool_calls: calls, ...rest } = message;
  if (calls === undefined) return rest;
  return {
    ...rest,
    tool_calls: calls.map((call) => ({
      ...call,
      function: {
        ...call.function,
        arguments: form === "object" ? parsed(call.function.arguments) : call.function.arguments,
      },
    })),
  };
}

/** Arguments a model left unfinished stay text. */
function parsed(text: string): unknown {
  if (text.trim() === "") return {};
  try {
    return JSON.parse(text);
  } catch {
    return text; // As it was written is the best there is.
  }
}

/** One call a message, its result behind it, for templates that throw at more. */
function callsApart(messages: readonly ModernMessage[]): ModernMessage[] {
  const results = new Map<string, ModernMessage>();
  const apart: ModernMessage[] = [];
  for (const [i, message] of messages.entries()) {
    if (message.role === "tool") {
      // Results of several calls were put behind their calls already.
      if (results.delete(message.tool_call_id)) continue;
      apart.push(message);
      continue;
    }
    results.clear();
    const calls = message.role === "assistant" ? (message.tool_calls ?? []) : [];
    if (message.role !== "assistant" || calls.length < 2) {
      apart.push(message);
      continue;
    }
    for (const result of answersBehind(messages, i)) results.set(result.tool_call_id, result);
    for (const [k, call] of calls.entries()) {
      apart.push({ ...message, content: k === 0 ? message.content : "", tool_calls: [call] });
      const result = results.get(call.id);
      if (result !== undefined) apart.push(result);
    }
  }
  return apart;
}

function answersBehind(messages: readonly ModernMessage[], caller: number): ToolMessage[] {
  const answers: ToolMessage[] = [];
  for (const message of messages.slice(caller + 1)) {
    if (message.role !== "tool") break;
    answers.push(message);
  }
  return answers;
}

/** Ids of other engines become numbers of nine digits, the same for a call and its result. */
function nineLetterIds(messages: readonly ModernMessage[]): ModernMessage[] {
  const given = new Map<string, string>();
  const nine = (id: string): string => {
    if (/^[A-Za-z0-9]{9}$/.test(id)) return id;
    const known = given.get(id) ?? String(given.size + 1).padStart(9, "0");
    given.set(id, known);
    return known;
  };
  return messages.map((message) => {
    if (message.role === "tool") return { ...message, tool_call_id: nine(message.tool_call_id) };
    if (message.role !== "assistant" || message.tool_calls === undefined) return message;
    return { ...message, tool_calls: message.tool_calls.map((call) => ({ ...call, id: nine(call.id) })) };
  });
}
