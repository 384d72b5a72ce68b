/** Whether a running engine still works, and not only runs (mlx-lm#1505, neomjs/neo#13900: alive, and of no use). */

export interface LivenessLimits {
  /** Between two looks, in ms. */
  readonly canaryMs: number;
  /** How long the engine may take to answer one, in ms. */
  readonly canaryTimeoutMs: number;
  /** So many in a row without an answer and it is started again. */
  readonly misses: number;
  /** Streams of which none had a byte for so long are looked into, in ms. */
  readonly tokenGapMs: number;
  /** The longest that a whole answer may take, in ms. */
  readonly answerMs: number;
}

export interface Work {
  readonly streams: number;
  readonly wholeAnswers: number;
  /** Since the last byte of any of them, or since the first began, in ms. */
  readonly quietMs: number;
}

/**
 * What to do at a look. `probe`: one token must come. `ping`: only its HTTP side must answer, since a whole answer
 * shows nothing until it is done, and an engine may serve one after the other.
 */
export type Look = "none" | "probe" | "ping" | "overdue";

export function nextLook({ streams, wholeAnswers, quietMs }: Work, limits: LivenessLimits): Look {
  if (streams + wholeAnswers === 0) return "probe";
  if (quietMs < limits.tokenGapMs) return "none";
  if (streams > 0) return "probe";
  return quietMs < limits.answerMs ? "ping" : "overdue";
}

/** Counts what an engine is busy with, and when it last gave a sign. */
export interface Workload {
  begin(kind: "stream" | "whole"): { sign(): void; end(): void };
  current(): Work;
}

export function createWorkload(monotonic: () => number): Workload {
  const counts = { stream: 0, whole: 0 };
  let lastSign = monotonic();
  return {
    begin(kind) {
      if (counts.stream + counts.whole === 0) lastSign = monotonic();
      counts[kind]++;
      let isOver = false;
      return {
        sign: () => {
          lastSign = monotonic();
        },
        end: () => {
          if (isOver) return;
          isOver = true;
          counts[kind]--;
          lastSign = monotonic();
        },
      };
    },
    current: () => ({
      streams: counts.stream,
      wholeAnswers: counts.whole,
      quietMs: monotonic() - lastSign,
    }),
  };
}

export interface WatchOptions {
  readonly limits: LivenessLimits;
  readonly workload: Workload;
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly probe: (signal: AbortSignal) => Promise<void>;
  readonly ping: (signal: AbortSignal) => Promise<void>;
  /** Ends the watch. */
  readonly signal: AbortSignal;
}

/** Resolves with what is wrong when the engine no longer works; undefined when the watch was ended. */
export async function watchLiveness(options: WatchOptions): Promise<string | undefined> {
  const { limits, workload, sleep, signal } = options;
  let misses = 0;
  while (!signal.aborted) {
    await sleep(limits.canaryMs, signal).catch(() => {}); // Ended: the loop's condition sees it.
    if (signal.aborted) break;
    const look = nextLook(workload.current(), limits);
    if (look === "overdue") return `It gave no answer within ${limits.answerMs} ms.`;
    const isWell = look === "none" || (await answers(look, options));
    misses = isWell ? 0 : misses + 1;
    if (misses >= limits.misses)
      return `It runs, but did not answer ${misses} times in a row, each within ${limits.canaryTimeoutMs} ms.`;
  }
  return undefined;
}

async function answers(look: "probe" | "ping", options: WatchOptions): Promise<boolean> {
  const { limits, workload, signal } = options;
  const before = workload.current().quietMs;
  const late = AbortSignal.timeout(limits.canaryTimeoutMs);
  try {
    await options[look](AbortSignal.any([signal, late]));
    return true;
  } catch {
    // A token of someone else's stream is as good an answer; what fails for other reasons ends the process anyway.
    return signal.aborted || workload.current().quietMs < before;
  }
}
