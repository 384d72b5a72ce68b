import { Template } from "@huggingface/jinja";
import { invalidRequest } from "../../shared/openai/errors.ts";
import type { ChatMessage } from "../../shared/openai/schemas.ts";
import { toTemplateMessages } from "./chat-messages.ts";
import { createControlPattern, createControlText, type TextPart } from "./control-text.ts";

export interface ChatTemplate {
  /**
   * The prompt for the model's next turn, in parts to tokenise. Throws a 400 for what the template refuses, and for
   * parts that aren't text.
   */
  render(chat: Chat): readonly TextPart[];
}

export interface Chat {
  readonly messages: readonly ChatMessage[];
  readonly tools?: readonly unknown[];
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

  function render(chat: Chat): readonly TextPart[] {
    const written = {
      messages: toTemplateMessages(chat.messages, knowsDeveloper),
      tools: chat.tools ?? [],
    };
    const control = createControlText(pattern, [written, chat.templateArguments]);
    const messages = written.messages.map((message) => ({ ...control.wrap(message), role: message.role }));
    const tools = control.wrap(written.tools);
    try {
      const rendered = template.render({
        ...chat.templateArguments,
        messages,
        tools: tools.length === 0 ? null : tools,
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

  return { render };
}
