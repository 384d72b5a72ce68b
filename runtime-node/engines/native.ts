import type { GgufInsights, Llama } from "node-llama-cpp";
import type { Log } from "../../functions/deps.ts";
import type { ContextMemory } from "./fit.ts";

/** node-llama-cpp, imported when an engine starts: it takes half a second, which other engines need not pay. */
export type LlamaModule = typeof import("node-llama-cpp");

export interface Native {
  readonly module: LlamaModule;
  readonly llama: Llama;
  /** After all models are disposed, and before they are let go of. Takes a second at the most. */
  dispose(): Promise<void>;
}

export interface NativeOptions {
  /** A GPU was found that can be used. */
  readonly gpu: boolean;
  readonly maxThreads: number;
  readonly log: Pick<Log, "debug">;
}

/** Starts llama.cpp, from the prebuilt binary alone. Throws an Error that says what to install. */
export async function startNative(options: NativeOptions): Promise<Native> {
  const module = await import("node-llama-cpp");
  try {
    const llama = await module.getLlama({
      gpu: options.gpu ? "auto" : false,
      build: "never",
      skipDownload: true,
      progressLogs: false,
      maxThreads: options.maxThreads,
      logLevel: module.LlamaLogLevel.warn,
      logger: (level, message) => options.log.debug(`llama.cpp: ${message.trim()}`, { level }),
    });
    return { module, llama, dispose: () => disposeLlama(llama) };
  } catch (cause) {
    throw new Error(
      "llama.cpp can't start on this machine. Its binary comes with node-llama-cpp: run `npm install` again, without `--omit=optional`.",
      { cause },
    );
  }
}

/** Longer, and it waits for something that never comes. */
const DISPOSE_MS = 1000;

/**
 * `dispose` waits for every model that was ever made. Those of failed loads, and those that estimates use, it finds by
 * weak references: once the garbage collector has been there it would wait for ever (LlamaModel.js, GgufInsights.js
 * `SimulatorModelHandle`, 3.22.1). What is left then is small, and goes with the process.
 */
async function disposeLlama(llama: Llama): Promise<void> {
  const limit = Promise.withResolvers<void>();
  const timer = setTimeout(limit.resolve, DISPOSE_MS);
  await Promise.race([llama.dispose(), limit.promise]);
  clearTimeout(timer);
}

/** Larger models are worth more speed than sameness: for a single stream the second row costs 20 to 90 %. */
const MAX_PAIRED_BYTES = 256 * 2 ** 20;

/**
 * Whether rows are to be computed in pairs at the least, so that a text depends on its prompt and seed alone, not on
 * what else runs. On the CPU, with weights in floating point, a single row is multiplied by another kernel, which
 * rounds otherwise; from two rows on, every number of them gives the same bits, up to `MAX_EQUAL_ROWS` of one sequence
 * (measured, llama.cpp v0.5.0, 1 and 2 threads). Elsewhere results depend on the batch, as they do on vLLM.
 */
export function rowsNeedPairs(
  { module }: Pick<Native, "module">,
  insights: GgufInsights,
  gpuLayers: number,
  sequences: number,
): boolean {
  const { F32, F16, BF16 } = module.GgmlType;
  const type = insights.dominantTensorType;
  const isFloat = type === F32 || type === F16 || type === BF16;
  const canRollBack = !insights.isRecurrent && !insights.isHybrid && insights.swaSize === undefined;
  const isSmall = insights.modelSize <= MAX_PAIRED_BYTES;
  return gpuLayers === 0 && sequences > 1 && isSmall && isFloat && canRollBack;
}

/** From 64 rows of one sequence on, flash attention goes by tiles, and rounds otherwise. */
export const MAX_EQUAL_ROWS = 63;

/** What a context of this model takes, from three estimates that llama.cpp makes without allocating. */
export async function estimateContext(
  insights: GgufInsights,
  options: { readonly gpuLayers: number; readonly batchSize: number; readonly trainContextSize: number },
): Promise<ContextMemory> {
  const size = Math.min(4096, options.trainContextSize);
  const estimate = async (contextSize: number, sequences: number) => {
    const { cpuRam, gpuVram } = await insights.estimateContextResourceRequirementsV2({
      contextSize,
      sequences,
      batchSize: options.batchSize,
      modelGpuLayers: options.gpuLayers,
    });
    return cpuRam + gpuVram;
  };
  const [whole, half, two] = [await estimate(size, 1), await estimate(size / 2, 1), await estimate(size, 2)];
  const tokenBytes = Math.max(1, (whole - half) / (size / 2));
  const sequenceBytes = Math.max(0, two - whole - size * tokenBytes);
  return { tokenBytes, sequenceBytes, fixedBytes: Math.max(0, whole - sequenceBytes - size * tokenBytes) };
}
