import type { LlamaEmbeddingContext, LlamaModel, Token } from "node-llama-cpp";
import { contextLengthExceeded } from "../../shared/openai/errors.ts";

export interface Embedder {
  /** One input as a vector of length 1, and its tokens. Throws a 400 when it is too long. One input at a time. */
  embed(input: string | readonly Token[], signal: AbortSignal): Promise<Embedding>;
  close(): Promise<void>;
}

export interface Embedding {
  readonly vector: Float32Array;
  readonly tokens: number;
}

export interface EmbedderOptions {
  readonly model: LlamaModel;
  readonly contextSize: number;
  readonly threads: number;
}

/** Makes its context at the first input: most models are never asked. */
export function createEmbedder({ model, contextSize, threads }: EmbedderOptions): Embedder {
  let context: Promise<LlamaEmbeddingContext> | undefined;
  let last: Promise<unknown> = Promise.resolve();
  let closing: Promise<void> | undefined;

  async function makeContext(): Promise<LlamaEmbeddingContext> {
    try {
      // The batch holds the whole input: models that aren't causal abort the process otherwise.
      return await model.createEmbeddingContext({ contextSize, batchSize: contextSize, threads });
    } catch (failure) {
      context = undefined; // There may be memory for it later.
      throw failure;
    }
  }

  async function embedNow(input: string | readonly Token[], signal: AbortSignal): Promise<Embedding> {
    signal.throwIfAborted();
    context ??= makeContext();
    const made = await context;
    const text = typeof input === "string" ? input : [...input];
    const tokens = made.calculateInputLength(text);
    if (tokens >= contextSize) {
      throw contextLengthExceeded({ contextSize, promptTokens: tokens, param: "input" });
    }
    const { vector } = await made.getEmbeddingFor(text);
    signal.throwIfAborted();
    return { vector: toUnitLength(vector), tokens };
  }

  function embed(input: string | readonly Token[], signal: AbortSignal): Promise<Embedding> {
    const mine = last.then(() => embedNow(input, signal));
    last = mine.catch(() => {}); // The caller hears of it; the next input is none the worse.
    return mine;
  }

  function close(): Promise<void> {
    closing ??= last.then(async () => (await context)?.dispose());
    return closing;
  }

  return { embed, close };
}

function toUnitLength(vector: readonly number[]): Float32Array {
  const length = Math.hypot(...vector);
  return Float32Array.from(vector, (value) => (length === 0 ? 0 : value / length));
}
