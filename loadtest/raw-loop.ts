import { getLlama, LlamaLogLevel, readGgufFileInfo, type Token, TokenBias } from "node-llama-cpp";

export interface RawLoop {
  /** So many sequences make so many tokens each; returns how many were made. */
  run(streams: number, tokens: number): Promise<number>;
  close(): Promise<void>;
}

export interface RawLoopOptions {
  readonly sequences: number;
  readonly contextSize: number;
  readonly threads: number;
  /** Tokens that would end a stream. */
  readonly banned: readonly number[];
}

/** What node-llama-cpp does by itself: a loop over `evaluate` for each sequence, with its own batching. The baseline. */
export async function createRawLoop(path: string, options: RawLoopOptions): Promise<RawLoop> {
  const { sequences: count, contextSize, threads, banned } = options;
  const llama = await getLlama({
    gpu: false,
    build: "never",
    progressLogs: false,
    logLevel: LlamaLogLevel.error,
    maxThreads: threads,
  });
  const model = await llama.loadModel({ modelPath: path, gpuLayers: 0 });
  const context = await model.createContext({ sequences: count, contextSize, threads });
  const sequences = Array.from({ length: count }, () => context.getSequence());
  const tokenBias = TokenBias.for(model);
  const biases: unknown = Reflect.get(tokenBias, "_biases"); // Its `set` ignores end tokens.
  if (biases instanceof Map) for (const token of banned) biases.set(token, Number.NEGATIVE_INFINITY);

  async function run(streams: number, tokens: number): Promise<number> {
    let made = 0;
    await Promise.all(
      sequences.slice(0, streams).map(async (sequence, i) => {
        await sequence.clearHistory();
        const prompt: Token[] = model.tokenize(`stream ${i}: once upon a time`);
        const options = { temperature: 0, yieldEogToken: true, tokenBias };
        let left = tokens;
        for await (const _ of sequence.evaluate(prompt, options)) {
          made++;
          if (--left === 0) break;
        }
      }),
    );
    return made;
  }

  return { run, close: () => llama.dispose() };
}

/** The model's control tokens, those that end a text among them. */
export async function controlTokens(path: string): Promise<readonly number[]> {
  const { metadata } = await readGgufFileInfo(path, { sourceType: "filesystem" });
  const types: readonly number[] = metadata.tokenizer?.ggml.token_type ?? [];
  return types.flatMap((type, id) => (type === 3 ? [id] : []));
}
