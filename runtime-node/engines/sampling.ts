import type { LlamaModel, SequenceEvaluateOptions, Token, TokenBias } from "node-llama-cpp";
import type { Sampling } from "../../shared/engine.ts";
import type { LlamaModule } from "./native.ts";

/** OpenAI's bias that bans a token. */
const BAN = -100;

/**
 * OpenAI's sampling as node-llama-cpp takes it: its own defaults (top-k 40, top-p 0.95) are off, penalties see the
 * tokens in `generated` only, and end tokens are yielded. The same seed gives the same tokens, whatever else runs.
 */
export function toEvaluateOptions(
  sampling: Sampling,
  model: LlamaModel,
  module: LlamaModule,
  generated: readonly Token[],
  contextSize: number,
): SequenceEvaluateOptions {
  const { temperature, topP, topK, minP, seed, frequencyPenalty, presencePenalty, logitBias } = sampling;
  const options: SequenceEvaluateOptions = {
    temperature,
    topP,
    topK: topK > 0 ? topK : noTopK(),
    minP,
    seed,
    yieldEogToken: true,
  };
  if (frequencyPenalty !== 0 || presencePenalty !== 0) {
    options.repeatPenalty = {
      punishTokens: () => [...generated],
      maxPunishTokens: contextSize,
      penalty: 1,
      frequencyPenalty,
      presencePenalty,
    };
  }
  if (logitBias.size > 0) options.tokenBias = toTokenBias(logitBias, model, module);
  return options;
}

/**
 * Undefined would mean 40, and 0 sorts the whole vocabulary for every token; null takes the sampler out of the chain
 * (LlamaContext.js `_resolveSamplerConfig`, 3.22.1), which the types don't know.
 */
function noTopK(): undefined {
  return null as unknown as undefined;
}

/** `TokenBias.set` ignores end tokens without a word, so their bias is set where it keeps them (`_biases`, 3.22.1). */
function toTokenBias(
  logitBias: ReadonlyMap<number, number>,
  model: LlamaModel,
  module: LlamaModule,
): TokenBias {
  const bias = module.TokenBias.for(model);
  const biases: unknown = Reflect.get(bias, "_biases");
  if (!(biases instanceof Map)) throw new Error("node-llama-cpp's TokenBias has changed: no `_biases`.");
  for (const [token, logit] of logitBias) biases.set(token, logit <= BAN ? Number.NEGATIVE_INFINITY : logit);
  return bias;
}
