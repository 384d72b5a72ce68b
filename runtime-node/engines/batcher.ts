import type { LlamaContextSequence, Token } from "node-llama-cpp";
import { overloaded } from "../../shared/openai/errors.ts";
import {
  beginWork,
  computeFiller,
  computeRow,
  createWork,
  type Job,
  remaining,
  type Slot,
  type Work,
} from "./row.ts";
import { type PrefillLimits, pacePrefill, pickCompanions, pickSlot, planPrefill } from "./slots.ts";

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
    const work = createWork(job);
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
      slot.lastUsed = ++uses;
      try {
        await beginWork(slot, work);
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

  async function advance(slot: Slot, count: number): Promise<void> {
    const { work } = slot;
    if (work === undefined) return;
    try {
      const goesOn = await computeRow(slot, work, count);
      if (remaining(work) === 0) unread = unread.filter((other) => other !== slot);
      if (!goesOn) release(slot);
    } catch (failure) {
      release(slot, failure);
    }
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

  /** Computes one token of a neighbour: of its prompt, or a filler. */
  async function accompany(slot: Slot): Promise<void> {
    if (slot.work !== undefined) return advance(slot, 1);
    try {
      await computeFiller(slot);
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
