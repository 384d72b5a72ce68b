import { z } from "zod";
import { unsupported } from "../../../shared/openai/errors.ts";
import { type ChatMessage, formatPath } from "../../../shared/openai/schemas.ts";

/** A message in today's words: calls and results by `tool_calls` and `tool`, results as text. */
export type ModernMessage = SpokenMessage | AssistantMessage | ToolMessage;
export interface SpokenMessage {
  readonly role: "system" | "developer" | "user";
  readonly content: string;
  readonly [field: string]: unknown;
}

export interface AssistantMessage {
  readonly role: "assistant";
  /** Empty where the client gave none: templates add to it, and some print null as `None`. */
  readonly content: string;
  readonly tool_calls?: readonly ToolCall[] | undefined;
  readonly [field: string]: unknown;
}

export interface ToolMessage {
  readonly role: "tool";
  readonly content: string;
  readonly tool_call_id: string;
  readonly [field: string]: unknown;
}

export interface ToolCall {
  readonly id: string;
  readonly type: "function";
  readonly function: { readonly name: string; readonly arguments: string };
}

const functionCall = z.looseObject({ name: z.string(), arguments: z.string() });

/**
 * Translates the deprecated `function_call` and role `function`, makes every content one text, and gives `reasoning`
 * its other name, `reasoning_content`, which templates know. Throws a 400 `ApiError` at a content part that is no text.
 */
export function modernMessages(messages: readonly ChatMessage[]): readonly ModernMessage[] {
  let callId = "call_0";
  return messages.map((message, i): ModernMessage => {
    const content = textOf(message.content, i);
    switch (message.role) {
      case "function":
        return { role: "tool", tool_call_id: callId, content };
      case "tool":
        return { ...message, content };
      case "assistant":
        callId = `call_${i}`;
        return withToolCalls(withReasoning({ ...message, content }), callId);
      default:
        return { ...message, content };
    }
  });
}

/** Text parts stand on lines of their own, as with vLLM and llama-server. */
function textOf(content: ChatMessage["content"], message: number): string {
  if (content === undefined || typeof content === "string") return content ?? "";
  const texts = content.map((part, i) => {
    if (part.type === "text") return part.text;
    if (part.type === "refusal") return part.refusal;
    const param = formatPath(["messages", message, "content", i, "type"]);
    throw unsupported(
      param,
      `This model takes text; a content part of type \`${part.type}\` is not supported.`,
    );
  });
  return texts.join("\n");
}

function withReasoning(message: AssistantMessage): AssistantMessage {
  const { reasoning, reasoning_content: known } = message;
  return typeof reasoning === "string" && known === undefined
    ? { ...message, reasoning_content: reasoning }
    : message;
}

function withToolCalls(message: AssistantMessage, id: string): AssistantMessage {
  const { function_call: legacy, tool_calls: calls, ...rest } = message;
  if (calls !== undefined && calls.length > 0) return { ...rest, tool_calls: calls };
  const parsed = functionCall.safeParse(legacy);
  return parsed.success ? { ...rest, tool_calls: [{ id, type: "function", function: parsed.data }] } : rest;
}
