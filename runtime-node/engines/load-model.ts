import { createHash } from "node:crypto";
import { arch, cpus } from "node:os";
import type { LlamaContextSequence, LlamaModel } from "node-llama-cpp";
import type { Log } from "../../functions/deps.ts";
import { inSequenceOrder } from "./batch-order.ts";
import { type Calibration, calibrate } from "./calibrate.ts";
import { createCalibrationCache } from "./calibration-cache.ts";
import { type Fit, fitContext, formatBytes } from "./fit.ts";
import { createLoadedModel, type LoadedModel } from "./loaded-model.ts";
import { type ModelFile, readModelFile } from "./model-file.ts";
import { estimateContext, MAX_EQUAL_ROWS, type Native, rowsNeedPairs } from "./native.ts";
import { firstPiece } from "./slots.ts";
import { createThreadProbe } from "./thread-probe.ts";

export interface LlamaCppOptions {
  /** Tokens a sequence; undefined: what the model and the memory allow. */
  readonly contextSize?: number | undefined;
  /** Streams that generate at the same time; undefined: as many as fit, 64 at the most. */
  readonly sequences?: number | undefined;
  /** For decode; undefined: measured. */
  readonly threads?: number | undefined;
  /** For prefill; undefined: measured. */
  readonly prefillThreads?: number | undefined;
  /** Prompt tokens computed at a time; undefined: what takes 50 ms. */
  readonly prefillChunk?: number | undefined;
  /** Only used with `gpu`. */
  readonly gpuLayers?: number | "auto" | undefined;
  /** Requests that may wait for a sequence; beyond, 429. Undefined: 256. */
  readonly queueLimit?: number | undefined;
  /** Where measured thread counts are kept. */
  readonly cacheDir: string;
  /** Cores that this process may use; may be a fraction. */
  readonly cpuBudget: number;
  /** What is free for this process, of the machine and of its cgroup. */
  readonly memoryBytes: number;
  /** A GPU was found that can be used. */
  readonly gpu: boolean;
  readonly log: Pick<Log, "debug" | "info" | "warn">;
}

export interface LoadRequest {
  readonly id: string;
  readonly path: string;
  /** What is left of memory for it. */
  readonly memoryBytes: number;
}

const DEFAULT_QUEUE_LIMIT = 256;
/** Prompt tokens of a batch where nothing is configured; fewer where they take more than 50 ms. */
const MAX_PREFILL_CHUNK = 256;
/** Models up to here are measured in about a third of a second, larger ones in at most five. */
const SMALL_MODEL_BYTES = 2 ** 30;
const SMALL_CALIBRATION_MS = 300;
const LARGE_CALIBRATION_MS = 4000;
/** Part of what a calibration depends on: raised when measuring changes. */
const CALIBRATION_VERSION = 1;

/**
 * Loads a model file. Throws an Error that says what is needed and what there is, or what is wrong with the file;
 * nothing is left behind then.
 */
export async function loadModel(
  request: LoadRequest,
  native: Native,
  options: LlamaCppOptions,
): Promise<LoadedModel> {
  const file = await readModelFile(request.path);
  await requireRoomForWeights(file, request, native, options);
  let model: LlamaModel;
  try {
    model = await native.llama.loadModel({
      modelPath: file.path,
      gpuLayers: options.gpu ? (options.gpuLayers ?? "auto") : 0,
      ignoreMemorySafetyChecks: !options.gpu,
    });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`llama.cpp can't load ${file.path}: ${reason}`, { cause });
  }
  try {
    return await prepare(request, file, model, native, options);
  } catch (failure) {
    await model.dispose(); // Its context with it.
    throw failure;
  }
}

async function requireRoomForWeights(
  file: ModelFile,
  request: LoadRequest,
  { llama }: Native,
  options: LlamaCppOptions,
): Promise<void> {
  const gpuBytes = options.gpu ? (await llama.getVramState()).free : 0;
  const availableBytes = request.memoryBytes + gpuBytes;
  if (file.bytes > availableBytes) throw tooBig(file, { neededBytes: file.bytes, availableBytes });
}

async function prepare(
  request: LoadRequest,
  file: ModelFile,
  model: LlamaModel,
  native: Native,
  options: LlamaCppOptions,
): Promise<LoadedModel> {
  const { llama } = native;
  const { cpuBudget, prefillChunk, gpu } = options;
  const mostTokens = Math.max(2, prefillChunk ?? MAX_PREFILL_CHUNK);
  const batchSize = mostTokens + 1;
  const fit = await fitModel(request, model, native, options, batchSize);
  if (!fit.ok) throw tooBig(file, fit);
  const { contextSize, sequences } = fit;
  const pairsRows = rowsNeedPairs(native, model.fileInsights, model.gpuLayers, sequences);
  const context = await model.createContext({
    contextSize,
    sequences,
    batchSize,
    threads: Math.max(cpuBudget, options.threads ?? 1, options.prefillThreads ?? 1),
    batching: { itemPrioritizationStrategy: inSequenceOrder },
    ignoreMemorySafetyChecks: !gpu,
    failedCreationRemedy: false,
  });
  const all = Array.from({ length: context.totalSequences }, () => context.getSequence());
  const setThreads = (threads: number) => {
    llama.maxThreads = threads;
  };
  const { calibration, isCached } = await findCalibration(
    file,
    model,
    native,
    options,
    all.slice(0, pairsRows ? 2 : 1),
    setThreads,
  );
  const { threads, prefillThreads, prefillTokensPerSecond, decodeTokensPerSecond } = calibration;
  const prefillTokens =
    prefillChunk === undefined ? firstPiece(prefillTokensPerSecond, mostTokens) : mostTokens;
  return createLoadedModel({
    id: request.id,
    created: file.modified,
    contextSize,
    fingerprint: `fp_${hashOf([file.fingerprint, llama.llamaCppRelease.release, contextSize, pairsRows]).slice(0, 10)}`,
    memoryBytes: fit.neededBytes,
    details: {
      model: request.id,
      contextSize,
      sequences,
      threads,
      prefillThreads,
      prefillChunk: prefillTokens,
      gpu: model.gpuLayers > 0 ? llama.gpu : false,
      gpuLayers: model.gpuLayers,
      decodeTokensPerSecond: Math.round(decodeTokensPerSecond),
      prefillTokensPerSecond: Math.round(prefillTokensPerSecond),
      reproducible: pairsRows,
      calibration: isCached ? "cached" : "measured",
      memoryBytes: fit.neededBytes,
    },
    module: native.module,
    llama,
    model,
    context,
    sequences: all,
    batching: {
      threads,
      prefillThreads,
      prefillTokens,
      paces: prefillChunk === undefined,
      prefillLimits: {
        total: mostTokens,
        each: pairsRows ? Math.min(mostTokens, MAX_EQUAL_ROWS - 1) : mostTokens,
      },
      setThreads,
      pairsRows,
      queueLimit: options.queueLimit ?? DEFAULT_QUEUE_LIMIT,
    },
  });
}

async function fitModel(
  { memoryBytes }: LoadRequest,
  model: LlamaModel,
  { llama }: Native,
  { contextSize, sequences }: LlamaCppOptions,
  batchSize: number,
): Promise<Fit> {
  const { gpuLayers, trainContextSize, fileInsights } = model;
  const context = await estimateContext(fileInsights, { gpuLayers, batchSize, trainContextSize });
  const isOnGpu = gpuLayers > 0;
  return fitContext({
    // On a GPU the weights are in it already: what is free is for the context.
    memoryBytes: isOnGpu ? (await llama.getVramState()).free : memoryBytes,
    weightsBytes: isOnGpu ? 0 : fileInsights.modelSize,
    context,
    trainContextSize,
    contextSize,
    sequences,
  });
}

function tooBig(
  { path }: ModelFile,
  { neededBytes, availableBytes }: { readonly neededBytes: number; readonly availableBytes: number },
): Error {
  return new Error(
    `${path} needs at least ${formatBytes(neededBytes)} of memory, and ${formatBytes(availableBytes)} are free for it. ` +
      "Take a smaller or more quantised model, lower `llamaCpp.contextSize` or `llamaCpp.sequences`, or free memory.",
  );
}

async function findCalibration(
  file: ModelFile,
  model: LlamaModel,
  { llama }: Native,
  options: LlamaCppOptions,
  rows: readonly LlamaContextSequence[],
  setThreads: (threads: number) => void,
): Promise<{ readonly calibration: Calibration; readonly isCached: boolean }> {
  const { cpuBudget, threads, prefillThreads, log } = options;
  const cache = createCalibrationCache(options.cacheDir);
  const machine = [
    arch(),
    cpus()[0]?.model,
    cpus().length,
    cpuBudget,
    llama.gpu,
    llama.llamaCppRelease.release,
  ];
  const key = [
    CALIBRATION_VERSION,
    file.fingerprint,
    machine,
    model.gpuLayers,
    rows.length,
    threads,
    prefillThreads,
  ];
  const cached = await cache.read(key);
  if (cached !== undefined) return { calibration: cached, isCached: true };

  const isLarge = file.bytes > SMALL_MODEL_BYTES;
  const probe = createThreadProbe(rows, setThreads);
  const calibration = await calibrate(probe, {
    cpuBudget,
    threads,
    prefillThreads,
    isLarge,
    budgetMs: isLarge ? LARGE_CALIBRATION_MS : SMALL_CALIBRATION_MS,
    now: () => performance.now(),
  });
  await probe.close();
  await cache.write(key, calibration).catch((failure: unknown) => {
    log.warn("The measured thread counts can't be kept; they are measured again at the next start.", {
      directory: options.cacheDir,
      failure: String(failure),
    });
  });
  return { calibration, isCached: false };
}

function hashOf(key: readonly unknown[]): string {
  return createHash("sha256").update(JSON.stringify(key)).digest("hex");
}
