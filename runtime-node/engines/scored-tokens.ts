import type { EvaluationPriority, LlamaContextSequence, Token } from "node-llama-cpp";
import type { Sampling } from "../../shared/engine.ts";
import { createRandom } from "./random.ts";

/** A token with its log probability under the model, and those of the likeliest in its place, best first. */
export interface TokenScore {
  readonly token: Token;
  /** Null for the first token of a sequence: nothing stands before it. */
  readonly logprob: number | null;
  readonly top: readonly { readonly token: Token; readonly logprob: number }[];
}

export interface Scoring {
  readonly topLogprobs: number;
  /** The prompt's tokens are scored too, so nothing of it comes from a cache. */
  readonly isPromptScored: boolean;
  readonly sampling: Sampling;
}

/**
 * Generates behind `input`, each token with its score. The model's own logits are asked for, so a score does not depend
 * on temperature or top-p; drawing is done here, since the library gives logits or a sampled token, not both
 * (`probabilities` are those after its samplers, 3.22.1).
 */
export async function* scoredTokens(
  sequence: LlamaContextSequence,
  input: readonly Token[],
  { topLogprobs, sampling }: Scoring,
  evaluationPriority: EvaluationPriority,
): AsyncGenerator<TokenScore, never, void> {
  const draw = createDraw(sampling);
  const generated: Token[] = [];
  const isPlain = sampling.temperature === 0 && !hasPenalties(sampling) && sampling.logitBias.size === 0;
  const logits = isPlain ? { filter: { tokens: [], includeTop: Math.max(1, topLogprobs) } } : true;
  let pending = [...input];
  while (true) {
    const [last] = pending.splice(-1);
    if (last === undefined) throw new Error("There is no token to generate behind.");
    const outputs = await sequence.controlledEvaluate(
      [...pending, [last, { generateNext: { logits, totalLogitWeight: true, options: { temperature: 0 } } }]],
      { evaluationPriority },
    );
    const next = outputs.at(-1)?.next;
    if (next?.logits === undefined || next.totalLogitWeight === undefined)
      throw new Error("llama.cpp gave no logits.");
    const score = scoreOf(next.logits, next.totalLogitWeight, topLogprobs, draw(next.logits, generated));
    yield score;
    generated.push(score.token);
    pending = [score.token];
  }
}

/** Computes `piece` of a prompt; the scores of the tokens behind its first, and of `following` where there is one. */
export async function scorePrompt(
  sequence: LlamaContextSequence,
  piece: readonly Token[],
  following: Token | undefined,
  topLogprobs: number,
  evaluationPriority: EvaluationPriority,
): Promise<readonly TokenScore[]> {
  const successors = [...piece.slice(1), following];
  const outputs = await sequence.controlledEvaluate(
    piece.map((token, i) => {
      const successor = successors[i];
      if (successor === undefined) return token;
      const logits = { filter: { tokens: [successor], includeTop: Math.max(1, topLogprobs) } };
      return [token, { generateNext: { logits, totalLogitWeight: true, options: { temperature: 0 } } }];
    }),
    { evaluationPriority },
  );
  return successors.flatMap((successor, i) => {
    const next = outputs[i]?.next;
    if (successor === undefined || next?.logits === undefined || next.totalLogitWeight === undefined)
      return [];
    return [scoreOf(next.logits, next.totalLogitWeight, topLogprobs, successor)];
  });
}

/** `logits`: the likeliest first; `totalWeight`: the sum of exp(logit - highest) over the whole vocabulary. */
function scoreOf(
  logits: ReadonlyMap<Token, number>,
  totalWeight: number,
  topLogprobs: number,
  token: Token,
): TokenScore {
  const sorted = [...logits].sort(([, a], [, b]) => b - a);
  const highest = sorted[0]?.[1] ?? 0;
  const logprobOf = (logit: number) => Math.min(0, logit - highest - Math.log(totalWeight));
  return {
    token,
    logprob: logprobOf(logits.get(token) ?? Number.NEGATIVE_INFINITY),
    top: sorted.slice(0, topLogprobs).map(([each, logit]) => ({ token: each, logprob: logprobOf(logit) })),
  };
}

/** Draws a token as llama.cpp's chain does: bias, penalties, top-k, top-p, min-p, temperature. Seeded. */
export function createDraw({ seed, ...sampling }: Sampling) {
  const random = createRandom(seed);
  return (logits: ReadonlyMap<Token, number>, generated: readonly Token[]): Token => {
    const counts = hasPenalties(sampling) ? countEach(generated) : NO_COUNTS;
    const sorted = [...logits]
      .map(([token, logit]) => ({ token, logit: logit + adjustment(sampling, token, counts) }))
      .sort((a, b) => b.logit - a.logit);
    const [best] = sorted;
    if (best === undefined) throw new Error("The vocabulary is empty.");
    if (sampling.temperature === 0) return best.token;
    const limited = sampling.topK > 0 ? sorted.slice(0, sampling.topK) : sorted;
    const kept = withinMinP(withinTopP(limited, sampling.topP), sampling.minP);
    const weights = kept.map(({ logit }) => Math.exp((logit - best.logit) / sampling.temperature));
    let left = random() * weights.reduce((sum, weight) => sum + weight, 0);
    const at = weights.findIndex((weight) => {
      left -= weight;
      return left < 0;
    });
    return (kept[at] ?? best).token;
  };
}

interface Candidate {
  readonly token: Token;
  readonly logit: number;
}

/** OpenAI's bias that bans a token. */
const BAN = -100;

const NO_COUNTS: ReadonlyMap<Token, number> = new Map();

/** Once a draw: counted anew for each token of a vocabulary, a long answer stopped the process for seconds at every token. */
function countEach(tokens: readonly Token[]): ReadonlyMap<Token, number> {
  const counts = new Map<Token, number>();
  for (const token of tokens) counts.set(token, (counts.get(token) ?? 0) + 1);
  return counts;
}

function adjustment(
  sampling: Omit<Sampling, "seed">,
  token: Token,
  counts: ReadonlyMap<Token, number>,
): number {
  const bias = sampling.logitBias.get(token) ?? 0;
  if (bias <= BAN) return Number.NEGATIVE_INFINITY;
  const count = counts.get(token) ?? 0;
  return bias - count * sampling.frequencyPenalty - (count > 0 ? sampling.presencePenalty : 0);
}

function hasPenalties({ frequencyPenalty, presencePenalty }: Omit<Sampling, "seed">): boolean {
  return frequencyPenalty !== 0 || presencePenalty !== 0;
}

function withinTopP(sorted: readonly Candidate[], topP: number): readonly Candidate[] {
  if (topP >= 1) return sorted;
  const highest = sorted[0]?.logit ?? 0;
  const weights = sorted.map(({ logit }) => Math.exp(logit - highest));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  let covered = 0;
  const end = weights.findIndex((weight) => {
    covered += weight / total;
    return covered >= topP;
  });
  return sorted.slice(0, end === -1 ? sorted.length : end + 1);
}

function withinMinP(sorted: readonly Candidate[], minP: number): readonly Candidate[] {
  if (minP <= 0) return sorted;
  const least = (sorted[0]?.logit ?? 0) + Math.log(minP);
  return sorted.filter(({ logit }) => logit >= least);
}
