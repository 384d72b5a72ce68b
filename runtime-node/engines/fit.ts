export interface FitInput {
  /** What this process may use: of the machine, of its cgroup, or of the GPU. */
  readonly memoryBytes: number;
  readonly weightsBytes: number;
  readonly context: ContextMemory;
  /** What the model was trained on; more gives nonsense. */
  readonly trainContextSize: number;
  /** From the config; undefined is ours to choose. */
  readonly contextSize?: number | undefined;
  readonly sequences?: number | undefined;
}

/** What a context takes: `fixedBytes`, and for each sequence `sequenceBytes` and its tokens. */
export interface ContextMemory {
  readonly fixedBytes: number;
  readonly sequenceBytes: number;
  readonly tokenBytes: number;
}

export type Fit =
  | {
      readonly ok: true;
      /** Tokens a sequence. */
      readonly contextSize: number;
      readonly sequences: number;
      readonly neededBytes: number;
    }
  | { readonly ok: false; readonly neededBytes: number; readonly availableBytes: number };

/** For the server itself: heap, buffers, code. */
const RESERVED_BYTES = 256 * 2 ** 20;
/** The least that is worth serving when nothing is configured. */
const MIN_CONTEXT = 512;
/** Below this, longer contexts are worth more than further sequences. */
const COMFORTABLE_CONTEXT = 8192;
const MAX_SEQUENCES = 64;
/** llama.cpp touches the whole KV cache when it makes it (measured), so by default half of what is free is left. */
const DEFAULT_SHARE = 0.5;

/**
 * Context size and sequences for a model in the memory there is. What is configured is kept, or refused when it
 * doesn't fit. The rest: as many sequences (64, 32 ... 4) as fit with the model's whole context; if not even 4 do,
 * the context shrinks, down to 8192 tokens for 4, then for 2 sequences; then one sequence with what is left.
 */
export function fitContext(input: FitInput): Fit {
  const { weightsBytes, context, trainContextSize } = input;
  const availableBytes = Math.max(0, input.memoryBytes - RESERVED_BYTES);
  const roomBytes = availableBytes - weightsBytes - context.fixedBytes;
  const { contextSize, sequences } = chooseSizes(input, roomBytes, Math.min(MIN_CONTEXT, trainContextSize));
  const contextBytes = sequences * (context.sequenceBytes + contextSize * context.tokenBytes);
  const neededBytes = weightsBytes + context.fixedBytes + contextBytes;
  if (contextBytes > roomBytes) return { ok: false, neededBytes, availableBytes };
  return { ok: true, contextSize, sequences, neededBytes };
}

function chooseSizes(
  { context, trainContextSize, contextSize, sequences }: FitInput,
  roomBytes: number,
  least: number,
): { readonly contextSize: number; readonly sequences: number } {
  const usualBytes = roomBytes * DEFAULT_SHARE;
  /** The most tokens that each of `sequences` can have in so many bytes. */
  const share = (bytes: number, sequences: number) =>
    Math.floor((bytes / sequences - context.sequenceBytes) / Math.max(context.tokenBytes, 1));

  if (contextSize !== undefined) {
    const each = context.sequenceBytes + contextSize * context.tokenBytes;
    return { contextSize, sequences: sequences ?? clamp(Math.floor(usualBytes / each), 1, MAX_SEQUENCES) };
  }
  if (sequences !== undefined) {
    return { contextSize: clamp(share(roomBytes, sequences), least, trainContextSize), sequences };
  }
  for (let sequences = MAX_SEQUENCES; sequences >= 4; sequences /= 2) {
    if (share(usualBytes, sequences) >= trainContextSize) return { contextSize: trainContextSize, sequences };
  }
  const comfortable = Math.min(COMFORTABLE_CONTEXT, trainContextSize);
  for (const sequences of [4, 2]) {
    const contextSize = share(usualBytes, sequences);
    if (contextSize >= comfortable)
      return { contextSize: Math.min(contextSize, trainContextSize), sequences };
  }
  return { contextSize: clamp(share(usualBytes, 1), least, trainContextSize), sequences: 1 };
}

/** `1.5 GiB`: for messages about memory. */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = bytes < 1024 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** power;
  return `${value >= 100 || power === 0 ? Math.round(value) : value.toFixed(1)} ${units[power]}`;
}

function clamp(value: number, low: number, high: number): number {
  return Math.max(low, Math.min(high, value));
}
