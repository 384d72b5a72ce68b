import type { LlamaContext, LlamaContextSequence, LlamaModel, Token } from "node-llama-cpp";
import type { EngineStatus, GenerateEvent, GenerateRequest } from "../../shared/engine.ts";
import { contextLengthExceeded, unsupported } from "../../shared/openai/errors.ts";
import { type BatcherOptions, createBatcher } from "./batcher.ts";
import { createEmbedder, type Embedding } from "./embedder.ts";
import { runGeneration } from "./generation.ts";
import type { LlamaModule } from "./native.ts";
import { createPromptReader } from "./prompt.ts";
import { toEvaluateOptions } from "./sampling.ts";

/** A model in memory, with a context of its own. */
export interface LoadedModel {
  readonly id: string;
  /** Unix seconds. */
  readonly created: number;
  /** Tokens that prompt and completion of one sequence may take together. */
  readonly contextSize: number;
  /** The same while model, settings and engine are. */
  readonly fingerprint: string;
  /** What it takes of the memory that there was. */
  readonly memoryBytes: number;
  readonly details: EngineStatus["details"];
  generate(request: GenerateRequest): AsyncGenerator<GenerateEvent, void, void>;
  /** One input, or tokens of it, as a vector of length 1. */
  embed(input: string | readonly number[], signal: AbortSignal): Promise<Embedding>;
  active(): number;
  queued(): number;
  /** Ends what runs with `reason`, then frees sequences, context and model. */
  close(reason: unknown): Promise<void>;
}

/** What `loadModel` made and measured; the loaded model owns it from then on. */
export interface ModelParts
  extends Pick<LoadedModel, "id" | "created" | "contextSize" | "fingerprint" | "memoryBytes" | "details"> {
  readonly module: LlamaModule;
  readonly model: LlamaModel;
  readonly context: LlamaContext;
  readonly sequences: readonly LlamaContextSequence[];
  readonly batching: Omit<BatcherOptions, "sequences">;
}

/** Inputs to embed may be this long at the most: their batch is as large, and its buffers grow with it. */
const MAX_EMBEDDING_CONTEXT = 8192;

export function createLoadedModel(parts: ModelParts): LoadedModel {
  const { id, created, contextSize, fingerprint, memoryBytes, details } = parts;
  const { module, model, context, sequences, batching } = parts;
  const prompts = createPromptReader(model);
  const batcher = createBatcher({ ...batching, sequences });
  const embedder = createEmbedder({
    model,
    contextSize: Math.min(model.trainContextSize, MAX_EMBEDDING_CONTEXT),
    threads: batching.prefillThreads,
  });
  // Spaces at the start of a text depend on what came before it only in SentencePiece vocabularies.
  const needsContext = model.vocabularyType !== module.LlamaVocabularyType.bpe;

  function detokenize(tokens: readonly Token[], before: readonly Token[]): string {
    return model.detokenize([...tokens], false, needsContext ? before : undefined);
  }

  async function* generate(request: GenerateRequest): AsyncGenerator<GenerateEvent, void, void> {
    refuseUnbuilt(request);
    request.signal.throwIfAborted();
    const prompt = prompts.toTokens(request.prompt);
    const { maxTokens, sampling } = request;
    const room = contextSize - prompt.length;
    if (room < Math.max(1, maxTokens ?? 1)) {
      throw contextLengthExceeded({
        contextSize,
        promptTokens: prompt.length,
        param: request.prompt.kind === "chat" ? "messages" : "prompt",
        ...(maxTokens === undefined ? {} : { maxTokens }),
      });
    }
    prompts.checkTokens([...sampling.logitBias.keys()], "logit_bias");
    yield* runGeneration(request, {
      batcher,
      prompt,
      limit: maxTokens ?? room,
      detokenize,
      isEnd: model.isEogToken,
      toEvaluateOptions: (generated) => toEvaluateOptions(sampling, model, module, generated, contextSize),
    });
  }

  function embed(input: string | readonly number[], signal: AbortSignal): Promise<Embedding> {
    return embedder.embed(typeof input === "string" ? input : prompts.checkTokens(input, "input"), signal);
  }

  async function close(reason: unknown): Promise<void> {
    await Promise.all([batcher.close(reason), embedder.close()]);
    await Promise.all(sequences.map((sequence) => sequence.dispose()));
    await context.dispose();
    await model.dispose();
  }

  const { active, queued } = batcher;
  return {
    id,
    created,
    contextSize,
    fingerprint,
    memoryBytes,
    details,
    generate,
    embed,
    active,
    queued,
    close,
  };
}

function refuseUnbuilt({ tools, format, topLogprobs, echo }: GenerateRequest): void {
  const refuse = (param: string) => {
    throw unsupported(param, `\`${param}\` is not supported by this engine yet.`);
  };
  if (tools !== undefined && tools.choice !== "none") refuse("tools");
  if (format !== undefined) refuse("response_format");
  if (topLogprobs !== undefined) refuse("logprobs");
  if (echo === true) refuse("echo");
}
