import type {
  LlamaContextSequence,
  SequenceEvaluateOptions,
  SequenceEvaluateOutput,
  Token,
} from "node-llama-cpp";
import { placeInBatch } from "./batch-order.ts";
import { type Scoring, scoredTokens, scorePrompt, type TokenScore } from "./scored-tokens.ts";
import { toToken } from "./token.ts";

/** One generation as the batcher sees it. Its functions must not throw. */
export interface Job {
  /** At least one token, fewer than the context holds. */
  readonly prompt: readonly Token[];
  /** False: only the prompt is computed. */
  readonly generates: boolean;
  readonly options: SequenceEvaluateOptions;
  /** Asks for log probabilities: tokens then come with their scores. */
  readonly scoring?: Scoring | undefined;
  /** It holds a sequence, which has the first `cachedTokens` of its prompt already. */
  onStart(cachedTokens: number): void;
  /** So much of the prompt is in the sequence now. */
  onPrompt(computedTokens: number): void;
  /** Scores of the prompt's next tokens, where they are asked for. */
  onPromptScores(scores: readonly TokenScore[]): void;
  /** A token was made; false ends the job. */
  onToken(token: Token, score?: TokenScore): boolean;
  /** Once, when it holds nothing any more; with what went wrong, or undefined when it ended or was cancelled. */
  onEnd(failure: unknown): void;
}

/** A job that was taken, until it ends. */
export interface Work {
  readonly job: Job;
  readonly submittedAt: number;
  /** Tokens of the prompt that are in the sequence. */
  computed: number;
  /** From the prompt's last token on. */
  tokens: Tokens | undefined;
  isCancelled: boolean;
  failure: unknown;
}

/** A token as the library or `scoredTokens` makes it. */
type Made = SequenceEvaluateOutput<Record<string, never>> | TokenScore;
type Tokens = AsyncGenerator<Made, void, undefined>;

/** A sequence of the context, for life. `id` is its place among them. */
export interface Slot {
  readonly id: number;
  readonly sequence: LlamaContextSequence;
  /** Of its last prompt. */
  promptTokens: number;
  lastUsed: number;
  /** Tokens at its end that were only computed to accompany a row. */
  fillers: number;
  work: Work | undefined;
}

const FILLER = toToken(0);
const MAX_FILLERS = 32;

export function createWork(job: Job): Work {
  const submittedAt = performance.now();
  return { job, submittedAt, computed: 0, tokens: undefined, isCancelled: false, failure: undefined };
}

/** Prompt tokens that are still to be computed; 0 from the first token made on. */
export function remaining({ job, computed }: Work): number {
  return job.prompt.length - computed;
}

/** Gives the sequence to `work`, with as much of its prompt as the sequence has already. */
export async function beginWork(slot: Slot, work: Work): Promise<void> {
  const { prompt, scoring, onStart, onPrompt } = work.job;
  // The last token is computed in any case: its logits choose the first new one.
  const reusable = scoring?.isPromptScored === true ? [] : prompt.slice(0, -1);
  await slot.sequence.adaptStateToTokens([...reusable], false);
  work.computed = slot.sequence.nextTokenIndex;
  slot.promptTokens = prompt.length;
  slot.fillers = 0;
  onStart(work.computed);
  onPrompt(work.computed);
}

/**
 * This sequence's part of a batch: the next `count` tokens of the prompt, or the last token made. Returns whether the
 * job goes on. Every row of a batch must be asked for in the same turn of the event loop.
 */
export async function computeRow(slot: Slot, work: Work, count: number): Promise<boolean> {
  const { job } = work;
  if (work.tokens !== undefined) return take(job, await work.tokens.next());
  const end = work.computed + count;
  const isLast = end === job.prompt.length;
  let piece: readonly Token[] = job.prompt.slice(work.computed, end);
  if (job.scoring?.isPromptScored === true) piece = await scorePiece(slot, job, job.scoring, piece, end);
  if (isLast && job.generates) work.tokens = makeTokens(slot, job, piece);
  else if (piece.length > 0) {
    const evaluationPriority = placeInBatch(slot.id);
    await slot.sequence.evaluateWithoutGeneratingNewTokens([...piece], { evaluationPriority });
  }
  const first = await work.tokens?.next();
  work.computed = end;
  job.onPrompt(end);
  return first === undefined ? !isLast : take(job, first);
}

/** Computes `piece` for its scores; what is left of it: the prompt's last token, where a generation begins with it. */
async function scorePiece(
  { id, sequence }: Slot,
  { prompt, generates, onPromptScores }: Job,
  { topLogprobs }: Scoring,
  piece: readonly Token[],
  end: number,
): Promise<readonly Token[]> {
  const left = end === prompt.length && generates ? piece.slice(-1) : [];
  const scored = piece.slice(0, piece.length - left.length);
  const following = left[0] ?? prompt[end];
  onPromptScores(await scorePrompt(sequence, scored, following, topLogprobs, placeInBatch(id)));
  return left;
}

/** The generation behind `piece`, the end of the prompt. */
function makeTokens({ id, sequence }: Slot, { options, scoring }: Job, piece: readonly Token[]): Tokens {
  const evaluationPriority = placeInBatch(id);
  return scoring === undefined
    ? sequence.evaluateWithMetadata([...piece], {}, { ...options, evaluationPriority })
    : scoredTokens(sequence, piece, scoring, evaluationPriority);
}

function take(job: Job, step: IteratorResult<Made, void>): boolean {
  if (step.done) throw new Error("llama.cpp made no token.");
  return job.onToken(step.value.token, "logprob" in step.value ? step.value : undefined);
}

/** A row that nobody asked for: a token after what a free sequence holds, erased at its next use at the latest. */
export async function computeFiller(slot: Slot): Promise<void> {
  const { id, sequence } = slot;
  const end = sequence.nextTokenIndex;
  if (slot.fillers >= MAX_FILLERS || end >= sequence.contextSize - 1) {
    await sequence.eraseContextTokenRanges([{ start: end - Math.max(1, slot.fillers), end }]);
    slot.fillers = 0;
  }
  slot.fillers++;
  await sequence.evaluateWithoutGeneratingNewTokens([FILLER], { evaluationPriority: placeInBatch(id) });
}
