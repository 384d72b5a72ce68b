/** `tokens` as text, where `before` came before them; half a character becomes U+FFFD. */
export type Detokenize<Token> = (tokens: readonly Token[], before: readonly Token[]) => string;

export interface Detokenizer<Token> {
  /** The text that is complete with `token`: whole characters only, often empty. */
  push(token: Token): string;
  /** What never became a whole character, as U+FFFD. Called once, at the end. */
  flush(): string;
}

/** Tokens before the pending ones that decide about spaces (SentencePiece vocabularies). */
const CONTEXT_TOKENS = 4;
/** A run of tokens that never ends in a whole character is cut here, so that a step's cost stays bounded. */
const MAX_PENDING = 64;
const REPLACEMENT = "\uFFFD";

/**
 * Text from tokens, one at a time. A character may be spread over tokens: its first bytes decode to one U+FFFD at
 * the end, so that is held back until a later token completes it.
 */
export function createDetokenizer<Token>(
  detokenize: Detokenize<Token>,
  prompt: readonly Token[],
): Detokenizer<Token> {
  let before = prompt.slice(-CONTEXT_TOKENS);
  let pending: Token[] = [];
  /** Characters of the pending tokens' text that were returned. */
  let returned = 0;

  function push(token: Token): string {
    pending.push(token);
    const text = detokenize(pending, before);
    const isWhole = !text.endsWith(REPLACEMENT) || pending.length >= MAX_PENDING;
    const ready = text.slice(returned, isWhole ? text.length : -1);
    returned += ready.length;
    if (isWhole) settle();
    return ready;
  }

  function settle(): void {
    before = [...before, ...pending].slice(-CONTEXT_TOKENS);
    pending = [];
    returned = 0;
  }

  function flush(): string {
    const rest = pending.length === 0 ? "" : detokenize(pending, before).slice(returned);
    settle();
    return rest;
  }

  return { push, flush };
}
