import type {
  LlamaContextSequence,
  SequenceEvaluateOptions,
  SequenceEvaluateOutput,
  Token,
} from "node-llama-cpp";
import { overloaded } from "../../shared/openai/errors.ts";
import { placeInBatch } from "./batch-order.ts";
import { type Scoring, scoredTokens, scorePrompt, type TokenScore } from "./scored-tokens.ts";
import { type PrefillLimits, pacePrefill, pickCompanions, pickSlot, planPrefill } from "./slots.ts";
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

export interface Batcher {
  /** Takes the job, or throws a 429 when the line is full. `cancel` takes it out within one step. */
  submit(job: Job): { readonly cancel: () => void };
  /** Jobs that hold a sequence. */
  active(): number;
  /** Jobs that wait for one. */
  queued(): number;
  /** Ends every job with `reason`; resolves when none is left. */
  close(reason: unknown): Promise<void>;
}

export interface BatcherOptions {
  /** All of one context, in the order they were made. */
  readonly sequences: readonly LlamaContextSequence[];
  /** Called before each batch, so that decode and prefill get their own. */
  readonly setThreads: (threads: number) => void;
  readonly threads: number;
  readonly prefillThreads: number;
  /** Prompt tokens of the first prefill batch; where `paces`, the next ones are made to take 50 ms. */
  readonly prefillTokens: number;
  readonly paces: boolean;
  /** The most prompt tokens of a batch, and of one sequence in it. The context's batch holds one more. */
  readonly prefillLimits: PrefillLimits;
  readonly queueLimit: number;
  /** No row is computed alone, so that a text doesn't depend on what else runs (`rowsNeedPairs`). */
  readonly pairsRows: boolean;
}

interface Slot {
  readonly id: number;
  readonly sequence: LlamaContextSequence;
  promptTokens: number;
  lastUsed: number;
  /** Tokens at its end that were only computed to accompany a row. */
  fillers: number;
  work: Work | undefined;
}

interface Work {
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

const FILLER = toToken(0);
const MAX_FILLERS = 32;
/** How much the newest job weighs in the mean time that a job takes. */
const NEWEST_SHARE = 0.2;

/**
 * Continuous batching over the sequences of one context, in steps: a step computes one token for every generation,
 * all at once, then one piece of a prompt. So a long prompt delays the streams beside it by one piece a token, and a
 * cancelled job is out within a step. Jobs wait in one line, first come first served.
 */
export function createBatcher(options: BatcherOptions): Batcher {
  const { setThreads, threads, prefillThreads, prefillLimits, paces, queueLimit, pairsRows } = options;
  const slots: readonly Slot[] = options.sequences.map((sequence, id) => ({
    id,
    sequence,
    promptTokens: 0,
    lastUsed: 0,
    fillers: 0,
    work: undefined,
  }));
  const queue: Work[] = [];
  /** Slots whose prompt isn't computed, the next one first. */
  let unread: Slot[] = [];
  let prefillTokens = options.prefillTokens;
  let uses = 0;
  let meanJobMs = 1000;
  let running: Promise<void> | undefined;
  let closing: { readonly reason: unknown } | undefined;

  function submit(job: Job): { readonly cancel: () => void } {
    if (closing !== undefined) throw closing.reason;
    if (queue.length >= queueLimit + slots.length - active()) {
      const waitMs = (meanJobMs * (queue.length + 1)) / slots.length;
      throw overloaded(
        `All ${slots.length} sequences are busy, and ${queue.length} requests wait already. Try again later.`,
        Math.min(60_000, Math.max(1000, waitMs)),
      );
    }
    const work: Work = {
      job,
      submittedAt: performance.now(),
      computed: 0,
      tokens: undefined,
      isCancelled: false,
      failure: undefined,
    };
    queue.push(work);
    running ??= run();
    return { cancel: () => cancel(work) };
  }

  function cancel(work: Work, failure?: unknown): void {
    if (work.isCancelled) return;
    work.isCancelled = true;
    work.failure = failure;
    const at = queue.indexOf(work);
    if (at < 0) return; // It holds a sequence: the loop lets go of it between two batches.
    queue.splice(at, 1);
    work.job.onEnd(failure);
  }

  async function run(): Promise<void> {
    await Promise.resolve(); // What is submitted together starts together.
    while (true) {
      releaseCancelled();
      await admit();
      if (active() === 0) break;
      await decode();
      releaseCancelled();
      await prefill();
    }
    running = undefined;
  }

  function releaseCancelled(): void {
    for (const slot of slots) if (slot.work?.isCancelled) release(slot, slot.work.failure);
  }

  function release(slot: Slot, failure?: unknown): void {
    const { work } = slot;
    if (work === undefined) return;
    slot.work = undefined;
    unread = unread.filter((other) => other !== slot);
    meanJobMs += (performance.now() - work.submittedAt - meanJobMs) * NEWEST_SHARE;
    work.isCancelled = true;
    void work.tokens?.return();
    work.job.onEnd(failure);
  }

  async function admit(): Promise<void> {
    for (let work = queue[0]; work !== undefined; work = queue[0]) {
      const slot = slotFor(work.job.prompt);
      if (slot === undefined) return;
      queue.shift();
      slot.work = work;
      unread.push(slot);
      try {
        await start(slot, work);
      } catch (failure) {
        release(slot, failure);
      }
    }
  }

  function slotFor(prompt: readonly Token[]): Slot | undefined {
    const free = slots.filter(({ work }) => work === undefined);
    const busy = new Set(slots.filter(({ work }) => work !== undefined).map(({ id }) => id));
    const tokens = [...prompt];
    const candidates = free.map(({ id, promptTokens, lastUsed, sequence }) => {
      return {
        id,
        promptTokens,
        lastUsed,
        sharedTokens: sequence.compareContextTokens(tokens).firstDifferentIndex,
      };
    });
    const picked = pickSlot(candidates, busy);
    return picked && slots[picked.id];
  }

  async function start(slot: Slot, work: Work): Promise<void> {
    const { prompt } = work.job;
    // The last token is computed in any case: its logits choose the first new one.
    const reusable = work.job.scoring?.isPromptScored === true ? [] : prompt.slice(0, -1);
    await slot.sequence.adaptStateToTokens(reusable, false);
    work.computed = slot.sequence.nextTokenIndex;
    slot.promptTokens = prompt.length;
    slot.lastUsed = ++uses;
    slot.fillers = 0;
    work.job.onStart(work.computed);
    work.job.onPrompt(work.computed);
  }

  /** One token for each generation. The last token of a prompt takes part as if it had been made. */
  async function decode(): Promise<void> {
    const rows = slots.filter(({ work }) => work !== undefined && remaining(work) <= 1);
    if (rows.length === 0) return;
    setThreads(threads);
    await Promise.all([...rows.map((slot) => advance(slot, 1)), ...companionsOf(rows).map(accompany)]);
  }

  async function prefill(): Promise<void> {
    const waiting = unread.flatMap(({ id, work }) => {
      const left = work === undefined ? 0 : remaining(work);
      return left > 1 ? [{ id, remaining: left }] : [];
    });
    const total = prefillTokens;
    const { ids, take } = planPrefill(waiting, { each: Math.min(prefillLimits.each, total), total });
    if (ids.length === 0) return;
    setThreads(prefillThreads);
    const start = performance.now();
    await Promise.all(slots.filter(({ id }) => ids.includes(id)).map((slot) => advance(slot, take)));
    const last = { tokens: take * ids.length, ms: performance.now() - start };
    if (paces) prefillTokens = pacePrefill(total, last, prefillLimits.total);
    const head = unread.find(({ id }) => id === ids[0]);
    if (head !== undefined) unread = [...unread.filter((slot) => slot !== head), head];
  }

  /** Computes the next `count` tokens of a prompt, or the last token made, and takes the new token if there is one. */
  async function advance(slot: Slot, count: number): Promise<void> {
    const { work } = slot;
    if (work === undefined) return;
    try {
      const isReading = work.tokens === undefined;
      const made = isReading ? await read(slot, work, count) : await nextToken(work.tokens);
      const score = made !== undefined && "logprob" in made ? made : undefined;
      const goesOn = made === undefined ? remaining(work) > 0 : work.job.onToken(made.token, score);
      if (!goesOn) release(slot);
    } catch (failure) {
      release(slot, failure);
    }
  }

  async function read({ id, sequence }: Slot, work: Work, count: number): Promise<Made | undefined> {
    const { prompt, generates, options, scoring, onPrompt, onPromptScores } = work.job;
    const evaluationPriority = placeInBatch(id);
    const end = work.computed + count;
    const piece = prompt.slice(work.computed, end);
    const isLast = end === prompt.length;
    let made: Made | undefined;
    let fresh = piece;
    if (scoring?.isPromptScored === true) {
      // All of it but the last token, which the generation begins with.
      fresh = isLast && generates ? piece.slice(-1) : [];
      const scored = piece.slice(0, piece.length - fresh.length);
      const following = fresh[0] ?? prompt[end];
      onPromptScores(await scorePrompt(sequence, scored, following, scoring.topLogprobs, evaluationPriority));
    }
    if (isLast && generates) {
      work.tokens =
        scoring === undefined
          ? sequence.evaluateWithMetadata([...fresh], {}, { ...options, evaluationPriority })
          : scoredTokens(sequence, fresh, scoring, evaluationPriority);
      made = await nextToken(work.tokens);
    } else if (fresh.length > 0) {
      await sequence.evaluateWithoutGeneratingNewTokens([...fresh], { evaluationPriority });
    }
    work.computed = end;
    if (isLast) unread = unread.filter((slot) => slot.work !== work);
    onPrompt(end);
    return made;
  }

  function companionsOf(rows: readonly Slot[]): readonly Slot[] {
    if (!pairsRows) return [];
    const others = slots.filter((slot) => !rows.includes(slot));
    const ids = pickCompanions(
      rows.map(({ id }) => id),
      new Map(others.map(({ id, sequence }) => [id, sequence.nextTokenIndex])),
    );
    return others.filter(({ id }) => ids.includes(id));
  }

  /** Computes one token of a neighbour: of its prompt, or a filler after what it holds, which goes at its next use. */
  async function accompany(slot: Slot): Promise<void> {
    if (slot.work !== undefined) return advance(slot, 1);
    const { id, sequence } = slot;
    const end = sequence.nextTokenIndex;
    try {
      if (slot.fillers >= MAX_FILLERS || end >= sequence.contextSize - 1) {
        await sequence.eraseContextTokenRanges([{ start: end - Math.max(1, slot.fillers), end }]);
        slot.fillers = 0;
      }
      slot.fillers++;
      await sequence.evaluateWithoutGeneratingNewTokens([FILLER], { evaluationPriority: placeInBatch(id) });
    } catch {} // The batch failed: the row beside it says so.
  }

  function active(): number {
    return slots.filter(({ work }) => work !== undefined).length;
  }

  function close(reason: unknown): Promise<void> {
    closing ??= { reason };
    for (const work of [...queue]) cancel(work, reason);
    for (const { work } of slots) if (work !== undefined) cancel(work, reason);
    return running ?? Promise.resolve();
  }

  return { submit, active, queued: () => queue.length, close };
}

/** 0 from the first token on. */
function remaining(work: Work): number {
  return work.job.prompt.length - work.computed;
}

async function nextToken(tokens: Tokens | undefined): Promise<Made> {
  const step = await tokens?.next();
  if (step === undefined || step.done) throw new Error("llama.cpp made no token.");
  return step.value;
}
