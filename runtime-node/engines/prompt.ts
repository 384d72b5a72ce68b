import type { LlamaModel, Token } from "node-llama-cpp";
import type { Prompt } from "../../shared/engine.ts";
import { invalidRequest, unsupported } from "../../shared/openai/errors.ts";
import type { ToolFunction } from "../../shared/openai/tools.ts";
import { type ChatTemplate, createChatTemplate } from "./chat-template.ts";
import type { TextPart } from "./control-text.ts";
import { toToken } from "./token.ts";
import type { CallFormat } from "./tools/call-format.ts";
import type { Reasoning } from "./tools/reasoning.ts";

export interface PromptReader {
  /** Throws a 400 for what the template refuses and for tokens that the model doesn't have. */
  read(prompt: Prompt, functions: readonly ToolFunction[]): ReadPrompt;
  /** `ids` as tokens; throws a 400 that names `param`. */
  checkTokens(ids: readonly number[], param: string): readonly Token[];
  /** How the model writes its calls. */
  readonly format: CallFormat;
}

export interface ReadPrompt {
  /** At least one. */
  readonly tokens: readonly Token[];
  /** How the model thinks behind it, if in tags. */
  readonly reasoning?: Reasoning | undefined;
}

/** `tokenizer.ggml.token_type` of a GGUF: what llama.cpp reads as control tokens only where it is told to. */
const CONTROL_TYPES: ReadonlySet<unknown> = new Set([2, 3]);
const LOOKS_LIKE_CONTROL = /^[<[].*[>\]]$/s;

/** Turns prompts into tokens as llama-server would; user text never becomes a control token (`control-text.ts`). */
export function createPromptReader(model: LlamaModel): PromptReader {
  const { bos, eos, bosString, eosString, shouldPrependBosToken } = model.tokens;
  const tokenizer = model.fileInfo.metadata.tokenizer;
  const vocabulary = tokenizer?.ggml.tokens ?? [];
  const template: ChatTemplate = createChatTemplate({
    source: tokenizer?.chat_template,
    bosToken: bosString ?? "",
    eosToken: eosString ?? "",
    controlSpellings: controlSpellings(model),
  });

  function read(prompt: Prompt, functions: readonly ToolFunction[]): ReadPrompt {
    switch (prompt.kind) {
      case "chat": {
        const parts = template.render({ ...prompt, functions });
        return { tokens: withStart(tokenizeParts(parts)), reasoning: template.reasoningBehind(parts) };
      }
      case "text": // Here the client owns the whole prompt, control tokens too, as on vLLM and llama-server.
        return { tokens: withStart(model.tokenize(prompt.text, true)) };
      case "infill":
        return { tokens: withStart(infillTokens(prompt.prefix, prompt.suffix)) };
      case "tokens":
        return { tokens: checkTokens(prompt.tokens, "prompt") };
      default:
        return prompt satisfies never;
    }
  }

  /** Prefix, suffix and the place between, marked as the model was trained to. */
  function infillTokens(before: string, after: string): Token[] {
    const { prefix, suffix, middle } = model.tokens.infill;
    if (prefix === null || suffix === null || middle === null) {
      throw unsupported("suffix", "This model has no infill tokens, so it can't write before a `suffix`.");
    }
    return [prefix, ...model.tokenize(before), suffix, ...model.tokenize(after), middle];
  }

  function tokenizeParts(parts: readonly TextPart[]): Token[] {
    return parts.flatMap(({ text, isPlain }, i) =>
      model.tokenize(text, !isPlain, i === 0 ? undefined : "trimLeadingSpace"),
    );
  }

  /** One BOS where the model wants it, whether or not the template wrote it; never an empty prompt. */
  function withStart(tokens: Token[]): readonly Token[] {
    if (shouldPrependBosToken && bos !== null && tokens[0] !== bos) return [bos, ...tokens];
    if (tokens.length > 0) return tokens;
    const start = bos ?? eos;
    if (start === null)
      throw invalidRequest("The prompt has no tokens; this model needs at least one.", "prompt");
    return [start];
  }

  function checkTokens(ids: readonly number[], param: string): readonly Token[] {
    const unknown = ids.find((id) => id >= vocabulary.length);
    if (unknown !== undefined) {
      const range = `token ids of this model are 0 to ${vocabulary.length - 1}`;
      throw invalidRequest(
        `Invalid '${param}': found token id ${unknown}; ${range}.`,
        param,
        "invalid_value",
      );
    }
    return ids.map(toToken);
  }

  return { read, checkTokens, format: template.format };
}

/** What the tokenizer reads as control tokens: by their type in the file, or because llama.cpp corrected it. */
function controlSpellings(model: LlamaModel): readonly string[] {
  const { tokens = [], token_type: types = [] } = model.fileInfo.metadata.tokenizer?.ggml ?? {};
  return tokens.filter(
    (text, id) =>
      CONTROL_TYPES.has(types[id]) ||
      (LOOKS_LIKE_CONTROL.test(text) && model.getTokenAttributes(toToken(id)).control),
  );
}
