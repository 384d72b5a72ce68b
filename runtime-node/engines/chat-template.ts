import { Template } from "@huggingface/jinja";
import { invalidRequest } from "../../shared/openai/errors.ts";
import type { ChatMessage } from "../../shared/openai/schemas.ts";
import type { ToolFunction } from "../../shared/openai/tools.ts";
import { createControlPattern, createControlText, type TextPart } from "./control-text.ts";
import { type CallFormat, detectCallFormat } from "./tools/call-format.ts";
import { detectReasoning, type Reasoning } from "./tools/reasoning.ts";
import { messagesForTemplate, type TemplateMessage } from "./tools/template-messages.ts";

export interface ChatTemplate {
  /**
   * The prompt for the model's next turn, in parts to tokenise. Throws a 400 for what the template refuses, and for
   * parts that aren't text.
   */
  render(chat: Chat): readonly TextPart[];
  /** How the model writes its calls. */
  readonly format: CallFormat;
  /** How it thinks behind such a prompt, if in tags. */
  reasoningBehind(parts: readonly TextPart[]): Reasoning | undefined;
}

export interface Chat {
  readonly messages: readonly ChatMessage[];
  /** Tools the model shall see. */
  readonly functions?: readonly ToolFunction[];
  readonly templateArguments?: Readonly<Record<string, unknown>>;
}

export interface ChatTemplateOptions {
  /** The model's own; undefined for a base model, which gets ChatML. */
  readonly source: string | undefined;
  readonly bosToken: string;
  readonly eosToken: string;
  /** Texts that the tokenizer would read as control tokens. */
  readonly controlSpellings: readonly string[];
}

/** What most models without a template of their own were tuned on, and what llama-server falls back to. */
const CHATML =
  "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/** Parses the template once. Throws an Error for one that isn't Jinja. */
export function createChatTemplate(options: ChatTemplateOptions): ChatTemplate {
  const source = options.source ?? CHATML;
  const template = new Template(source);
  const pattern = createControlPattern(options.controlSpellings);
  const knowsDeveloper = source.includes("developer");
  const format = detectCallFormat(source);

  function render(chat: Chat): readonly TextPart[] {
    const { messages: plain, tools = [] } = messagesForTemplate(chat.messages, format, chat.functions ?? []);
    const written = { messages: plain.map(withKnownRole), tools };
    const control = createControlText(pattern, [written, chat.templateArguments]);
    const messages = written.messages.map((message) => ({ ...control.wrap(message), role: message.role }));
    const shown = control.wrap(tools);
    try {
      const rendered = template.render({
        ...chat.templateArguments,
        messages,
        tools: shown.length === 0 ? null : shown,
        add_generation_prompt: true,
        bos_token: options.bosToken,
        eos_token: options.eosToken,
      });
      return control.parts(rendered);
    } catch (thrown) {
      const reason = thrown instanceof Error ? thrown.message : String(thrown);
      throw invalidRequest(`The model's chat template refuses these messages: ${reason}`, "messages");
    }
  }

  function withKnownRole(message: TemplateMessage): TemplateMessage {
    return message.role === "developer" && !knowsDeveloper ? { ...message, role: "system" } : message;
  }

  const reasoningBehind = (parts: readonly TextPart[]) =>
    detectReasoning(source, parts.map(({ text }) => text).join(""));

  return { render, format, reasoningBehind };
}
