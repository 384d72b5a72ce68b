import type { LlamaContextSequence, SequenceEvaluateOutput, Token } from "node-llama-cpp";
import { placeInBatch } from "./batch-order.ts";
import type { Probe } from "./calibrate.ts";
import { toToken } from "./token.ts";

export interface ThreadProbe extends Probe {
  /** Leaves the sequences empty. */
  close(): Promise<void>;
}

type Tokens = AsyncGenerator<SequenceEvaluateOutput<Record<string, never>>, void, Token | undefined>;

/** Measures on real sequences: one stream's decode step (with the row beside it, where rows need pairs), a prefill. */
export function createThreadProbe(
  rows: readonly LlamaContextSequence[],
  setThreads: (threads: number) => void,
): ThreadProbe {
  let streams: readonly Tokens[] = [];

  async function timed(threads: number, run: () => Promise<unknown>): Promise<number> {
    setThreads(threads);
    const start = performance.now();
    await run();
    return performance.now() - start;
  }

  function decode(threads: number): Promise<number> {
    if (streams.length === 0) {
      streams = rows.map((sequence, i) => {
        const options = { temperature: 0, yieldEogToken: true, evaluationPriority: placeInBatch(i) };
        return sequence.evaluateWithMetadata([toToken(0)], {}, options);
      });
    }
    return timed(threads, () => Promise.all(streams.map((tokens) => tokens.next())));
  }

  async function prefill(threads: number, tokens: number): Promise<number> {
    await clear();
    const [sequence] = rows;
    const piece = Array.from({ length: tokens }, () => toToken(0));
    return timed(threads, async () => sequence?.evaluateWithoutGeneratingNewTokens(piece));
  }

  async function clear(): Promise<void> {
    await Promise.all(streams.map((tokens) => tokens.return()));
    streams = [];
    await Promise.all(rows.map((sequence) => sequence.clearHistory()));
  }

  return { decode, prefill, close: clear };
}
