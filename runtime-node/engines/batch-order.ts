import type { BatchItem, EvaluationPriority } from "node-llama-cpp";

/**
 * The order of rows in a batch: that of their sequences, since llama.cpp computes only ascending neighbours together
 * (its `split_equal`; measured: twice the tokens a second at 64 streams). node-llama-cpp queues rows in the order in
 * which they happen to be ready, and tells a strategy nothing of the sequence but this priority, which it only hands on.
 */
export function placeInBatch(sequence: number): EvaluationPriority {
  return sequence as EvaluationPriority;
}

/** A batch strategy: all there is, in the order of `placeInBatch`. The context's batch must hold it. */
export function inSequenceOrder({ items }: { readonly items: readonly BatchItem[] }) {
  return items
    .toSorted((a, b) => a.evaluationPriority - b.evaluationPriority)
    .map((item) => ({ item, processAmount: item.tokens.length }));
}
