import type { Price } from "./ledger.ts";
import type { Usage } from "./openai/usage.ts";

/** A price as people write it: US dollars per million tokens. */
export interface DollarPrice {
  readonly prompt: number;
  /** For the part of the prompt that was read from a cache; the prompt's price when left out. */
  readonly cachedPrompt?: number | undefined;
  readonly completion: number;
  /** For the part of the completion that was reasoning; the completion's price when left out. */
  readonly reasoning?: number | undefined;
}

export const FREE: Price = {
  promptPicoUsd: 0,
  cachedPromptPicoUsd: 0,
  completionPicoUsd: 0,
  reasoningPicoUsd: 0,
};

/** Above this, a request of a billion tokens would no longer fit into safe integers of nano-dollars. */
export const MAX_DOLLARS_PER_MILLION = 9000;

const PICO_PER_NANO = 1000n;

/**
 * Dollars per million tokens as integer pico-dollars a token, once, when the config is read.
 * $0.000001 per million is the smallest step; finer fractions are rounded half up to it.
 * Throws a RangeError for a price that is negative, not finite, or above `MAX_DOLLARS_PER_MILLION`.
 */
export function toPrice(dollars: DollarPrice): Price {
  return {
    promptPicoUsd: picoPerToken(dollars.prompt),
    cachedPromptPicoUsd: picoPerToken(dollars.cachedPrompt ?? dollars.prompt),
    completionPicoUsd: picoPerToken(dollars.completion),
    reasoningPicoUsd: picoPerToken(dollars.reasoning ?? dollars.completion),
  };
}

/**
 * What `usage` costs in nano-dollars: summed exactly in pico-dollars, rounded up once.
 * Cached tokens are part of the prompt and reasoning tokens of the completion; a count of them above it is taken as all of it.
 * Throws a RangeError where a count is no whole number, or the sum is beyond safe integers.
 */
export function costNanoUsd(price: Price, usage: Usage): number {
  const cachedTokens = Math.min(usage.cachedTokens, usage.promptTokens);
  const reasoningTokens = Math.min(usage.reasoningTokens, usage.completionTokens);
  const pico =
    BigInt(usage.promptTokens - cachedTokens) * BigInt(price.promptPicoUsd) +
    BigInt(cachedTokens) * BigInt(price.cachedPromptPicoUsd) +
    BigInt(usage.completionTokens - reasoningTokens) * BigInt(price.completionPicoUsd) +
    BigInt(reasoningTokens) * BigInt(price.reasoningPicoUsd);
  const nano = Number((pico + PICO_PER_NANO - 1n) / PICO_PER_NANO);
  if (!Number.isSafeInteger(nano)) {
    throw new RangeError(
      `A cost of ${nano} nano-dollars is beyond exact integers; is a price or a count wrong?`,
    );
  }
  return nano;
}

/**
 * The most that a request can cost in nano-dollars: what a hold sets aside. No usage within `promptTokens` and
 * `maxTokens` costs more, however much of the prompt is cached or of the completion is reasoning, and whichever of the
 * prices is higher.
 */
export function worstCaseNanoUsd(price: Price, promptTokens: number, maxTokens: number): number {
  const promptPicoUsd = Math.max(price.promptPicoUsd, price.cachedPromptPicoUsd);
  const completionPicoUsd = Math.max(price.completionPicoUsd, price.reasoningPicoUsd);
  return costNanoUsd(
    { ...price, promptPicoUsd, completionPicoUsd },
    { promptTokens, cachedTokens: 0, completionTokens: maxTokens, reasoningTokens: 0 },
  );
}

function picoPerToken(dollarsPerMillion: number): number {
  if (!(dollarsPerMillion >= 0 && dollarsPerMillion <= MAX_DOLLARS_PER_MILLION)) {
    throw new RangeError(
      `A price of ${dollarsPerMillion} is not possible; allowed: 0 to ${MAX_DOLLARS_PER_MILLION} dollars per million tokens.`,
    );
  }
  return Math.round(dollarsPerMillion * 1_000_000);
}
