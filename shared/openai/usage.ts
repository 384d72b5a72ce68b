import { z } from "zod";

/** Token counts of one request. Cached tokens are part of the prompt, reasoning tokens part of the completion. */
export interface Usage {
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number;
  readonly reasoningTokens: number;
}

/**
 * Where a count is from: the engine's own; counted, its completion from token chunks and its prompt from bytes; or
 * estimated, both from bytes.
 */
export type UsageSource = "engine" | "counted" | "estimated";

export interface UsageReading {
  readonly usage: Usage;
  readonly source: UsageSource;
}

export const NO_USAGE: Usage = { promptTokens: 0, cachedTokens: 0, completionTokens: 0, reasoningTokens: 0 };

const count = z.number().int().nonnegative();
const optionalCount = count.nullish().catch(null);
/** No request has more: beyond it, its cost could not be written in exact integers. */
export const MAX_TOKENS = 1_000_000_000;
const wireUsage = z
  .object({
    prompt_tokens: count,
    completion_tokens: count.nullish(),
    total_tokens: count.nullish(),
    prompt_tokens_details: z.object({ cached_tokens: optionalCount }).nullish().catch(null),
    completion_tokens_details: z.object({ reasoning_tokens: optionalCount }).nullish().catch(null),
  })
  .refine((wire) => wire.prompt_tokens + (wire.completion_tokens ?? 0) <= MAX_TOKENS);

/** The `usage` of an answer or chunk, or undefined where it has none. The only reader of usage in the house. */
export function readUsage(answer: unknown): Usage | undefined {
  if (typeof answer !== "object" || answer === null || !("usage" in answer)) return undefined;
  const parsed = wireUsage.safeParse(answer.usage);
  if (!parsed.success) return undefined;
  const wire = parsed.data;
  return {
    promptTokens: wire.prompt_tokens,
    cachedTokens: wire.prompt_tokens_details?.cached_tokens ?? 0,
    completionTokens: wire.completion_tokens ?? 0,
    reasoningTokens: wire.completion_tokens_details?.reasoning_tokens ?? 0,
  };
}

/** Usage as OpenAI writes it on chat and text completions. */
export function toWireUsage(usage: Usage) {
  return {
    prompt_tokens: usage.promptTokens,
    completion_tokens: usage.completionTokens,
    total_tokens: usage.promptTokens + usage.completionTokens,
    prompt_tokens_details: { cached_tokens: usage.cachedTokens, audio_tokens: 0 },
    completion_tokens_details: {
      reasoning_tokens: usage.reasoningTokens,
      audio_tokens: 0,
      accepted_prediction_tokens: 0,
      rejected_prediction_tokens: 0,
    },
  };
}

/** Tokens of a text where nobody counted them: OpenAI's rule of thumb, four bytes a token (help.openai.com/articles/4936856). */
export function estimateTokens(bytes: number): number {
  return Math.ceil(bytes / 4);
}

export function addUsage(a: Usage, b: Usage): Usage {
  return {
    promptTokens: a.promptTokens + b.promptTokens,
    cachedTokens: a.cachedTokens + b.cachedTokens,
    completionTokens: a.completionTokens + b.completionTokens,
    reasoningTokens: a.reasoningTokens + b.reasoningTokens,
  };
}
