import type { LlamaModel, Token } from "node-llama-cpp";

export interface TokenText {
  /** The token's own text; what is no whole character is U+FFFD. */
  text(token: Token): string;
  bytes(token: Token): readonly number[];
}

const REPLACEMENT = "\ufffd";
const encoder = new TextEncoder();

/** Texts and bytes of single tokens, for log probabilities. */
export function createTokenText(model: LlamaModel): TokenText {
  const vocabulary: readonly string[] = model.fileInfo.metadata.tokenizer?.ggml.tokens ?? [];
  const text = (token: Token) => model.detokenize([token], true);
  return {
    text,
    bytes(token) {
      const plain = text(token);
      return plain.includes(REPLACEMENT) ? spelledBytes(vocabulary[token] ?? "") : [...encoder.encode(plain)];
    },
  };
}

/**
 * The bytes of a vocabulary entry that is no whole character: `<0xE4>` in SentencePiece vocabularies, else the
 * characters that GPT-2's byte-level BPE writes for bytes (openai/gpt-2 `encoder.py`, `bytes_to_unicode`).
 */
export function spelledBytes(entry: string): readonly number[] {
  const hex = /^<0x([0-9A-F]{2})>$/.exec(entry)?.[1];
  if (hex !== undefined) return [Number.parseInt(hex, 16)];
  return [...entry].flatMap((character) => BYTE_OF.get(character) ?? [...encoder.encode(character)]);
}

const BYTE_OF: ReadonlyMap<string, number> = new Map(byteCharacters());

function byteCharacters(): [string, number][] {
  const isPrintable = (byte: number) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte !== 173);
  let others = 0;
  return Array.from({ length: 256 }, (_, byte) => {
    const code = isPrintable(byte) ? byte : 256 + others++;
    return [String.fromCharCode(code), byte];
  });
}
