import { unsupported } from "../../shared/openai/errors.ts";
import type { ChatMessage, ContentPart } from "../../shared/openai/schemas.ts";

/** A message as chat templates expect it: content is always a string, arguments of tool calls are objects. */
export type TemplateMessage = Readonly<Record<string, unknown>> & {
  readonly role: string;
  readonly content: string;
};

/**
 * OpenAI's messages for a template of text. Text parts are joined by newlines and arguments parsed, as vLLM does.
 * Throws a 400 with the part's path for anything but text.
 */
export function toTemplateMessages(
  messages: readonly ChatMessage[],
  knowsDeveloper: boolean,
): readonly TemplateMessage[] {
  return messages.map((message, i) => ({
    ...message,
    role: message.role === "developer" && !knowsDeveloper ? "system" : message.role,
    content: contentText(message.content, i),
    ...("tool_calls" in message && Array.isArray(message.tool_calls)
      ? { tool_calls: message.tool_calls.map(withParsedArguments) }
      : {}),
  }));
}

function contentText(content: string | readonly ContentPart[] | undefined, message: number): string {
  if (content === undefined || typeof content === "string") return content ?? "";
  return content.map((part, i) => partText(part, `messages[${message}].content[${i}]`)).join("\n");
}

function partText(part: ContentPart, param: string): string {
  switch (part.type) {
    case "text":
      return part.text;
    case "refusal":
      return part.refusal;
    case "image_url":
    case "input_audio":
    case "file":
      throw unsupported(
        param,
        `Parts of type \`${part.type}\` are not supported by this model; only \`text\` is.`,
      );
    default:
      return part satisfies never;
  }
}

function withParsedArguments(call: unknown): unknown {
  if (typeof call !== "object" || call === null || !("function" in call)) return call;
  const { function: called } = call;
  if (typeof called !== "object" || called === null || !("arguments" in called)) return call;
  return { ...call, function: { ...called, arguments: parsedObject(called.arguments) } };
}

/** The object that `text` spells, or `text` itself: a model may have called with broken JSON. */
function parsedObject(text: unknown): unknown {
  if (typeof text !== "string") return text;
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === "object" && parsed !== null ? parsed : text;
  } catch {
    return text; // Not JSON: the template shows it as it is.
  }
}
