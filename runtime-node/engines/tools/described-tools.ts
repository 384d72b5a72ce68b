import type { ToolFunction } from "../../../shared/openai/tools.ts";
import type { CallSpelling } from "./call-format.ts";
import type { AssistantMessage, ModernMessage } from "./modern-messages.ts";

/** A system text that teaches tools to a model whose template knows none. */
export function describeTools(functions: readonly ToolFunction[], spelling: CallSpelling): string {
  const lines = functions.map(({ name, description, parameters }) =>
    JSON.stringify({ name, description, parameters }),
  );
  const example = spellCalls(
    [{ name: "name of the tool", arguments: '{"name of an argument": "value"}' }],
    spelling,
  );
  return [
    "You can call tools. Each line between <tools> and </tools> describes one of them as JSON:",
    "<tools>",
    ...lines,
    "</tools>",
    "To call a tool, write nothing but this, with the tool's name and its arguments as JSON:",
    example,
    "Write one such block for each call. What a tool answers is given to you between <tool_response> and </tool_response>.",
    "When no tool is needed, answer in plain words.",
  ].join("\n");
}

/** Calls as the model writes them. */
export function spellCalls(
  calls: readonly { readonly name: string; readonly arguments: string }[],
  spelling: CallSpelling,
): string {
  const { begin, beforeName, afterName, afterArguments, between, end } = spelling;
  const spelled = calls.map(
    (call) => `${beforeName}${call.name}${afterName}${call.arguments || "{}"}${afterArguments}`,
  );
  return `${begin}${spelled.join(between)}${end}`;
}

interface PlainOptions {
  readonly functions: readonly ToolFunction[];
  readonly spelling: CallSpelling;
  readonly hasSystemRole: boolean;
}

/**
 * A conversation with tools as one without: calls in the assistant's text, results in the user's, the tools in a
 * system message (in the first user message where the template refuses one).
 */
export function plainMessages(messages: readonly ModernMessage[], options: PlainOptions): ModernMessage[] {
  const { functions, spelling, hasSystemRole } = options;
  const plain: ModernMessage[] = [];
  for (const message of messages) {
    if (message.role === "tool") {
      const answer = `<tool_response>\n${message.content}\n</tool_response>`;
      pushUser(plain, { role: "user", content: answer });
    } else if (message.role === "assistant") plain.push(plainCalls(message, spelling));
    else pushUser(plain, message);
  }
  if (functions.length === 0) return plain;
  const description = describeTools(functions, spelling);
  const [first, ...rest] = plain;
  const isSystem = first?.role === "system" || first?.role === "developer";
  if (hasSystemRole && isSystem)
    return [{ ...first, content: `${first.content}\n\n${description}` }, ...rest];
  if (hasSystemRole) return [{ role: "system", content: description }, ...plain];
  const user = plain.findIndex((message) => message.role === "user");
  if (user < 0) return [{ role: "user", content: description }, ...plain];
  return plain.map((message, i) =>
    i === user && message.role === "user"
      ? { ...message, content: `${description}\n\n${message.content}` }
      : message,
  );
}

function plainCalls(message: AssistantMessage, spelling: CallSpelling): AssistantMessage {
  const { tool_calls: calls, ...rest } = message;
  if (calls === undefined) return rest;
  const spelled = spellCalls(
    calls.map((call) => call.function),
    spelling,
  );
  return { ...rest, content: rest.content === "" ? spelled : `${rest.content}\n${spelled}` };
}

/** Appends a message; a user's goes into the user's before it, since many templates want turns to alternate. */
function pushUser(messages: ModernMessage[], message: ModernMessage): void {
  const last = messages.at(-1);
  if (message.role === "user" && last?.role === "user") {
    const content = `${last.content}\n${message.content}`;
    messages[messages.length - 1] = { ...last, content };
  } else messages.push(message);
}
