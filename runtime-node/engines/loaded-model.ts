import type {
  Llama,
  LlamaContext,
  LlamaContextSequence,
  LlamaGrammar,
  LlamaGrammarEvaluationState,
  LlamaModel,
  Token,
} from "node-llama-cpp";
import type { EngineStatus, GenerateEvent, GenerateRequest } from "../../shared/engine.ts";
import { contextLengthExceeded } from "../../shared/openai/errors.ts";
import { type BatcherOptions, createBatcher } from "./batcher.ts";
import { createEmbedder, type Embedding } from "./embedder.ts";
import { runGeneration } from "./generation.ts";
import type { LlamaModule } from "./native.ts";
import { createOutputPlanner } from "./output.ts";
import { createPromptReader } from "./prompt.ts";
import { toEvaluateOptions } from "./sampling.ts";
import { createTokenText } from "./token-bytes.ts";

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
  /** Its prompt's tokens, as `generate` would compute them. */
  countPrompt(request: Pick<GenerateRequest, "prompt" | "tools">): number;
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
  readonly llama: Llama;
  readonly model: LlamaModel;
  readonly context: LlamaContext;
  readonly sequences: readonly LlamaContextSequence[];
  readonly batching: Omit<BatcherOptions, "sequences">;
}

/** Inputs to embed may be this long at the most: their batch is as large, and its buffers grow with it. */
const MAX_EMBEDDING_CONTEXT = 8192;

/** Grammars in llama.cpp's own form, the last used ones. */
const KEPT_GRAMMARS = 64;

export function createLoadedModel(parts: ModelParts): LoadedModel {
  const { id, created, contextSize, fingerprint, memoryBytes, details } = parts;
  const { module, llama, model, context, sequences, batching } = parts;
  const prompts = createPromptReader(model);
  const batcher = createBatcher({ ...batching, sequences });
  const embedder = createEmbedder({
    model,
    contextSize: Math.min(model.trainContextSize, MAX_EMBEDDING_CONTEXT),
    threads: batching.prefillThreads,
  });
  // Spaces at the start of a text depend on what came before it only in SentencePiece vocabularies.
  const needsContext = model.vocabularyType !== module.LlamaVocabularyType.bpe;

  const planner = createOutputPlanner(prompts.format);
  const tokenText = createTokenText(model);
  const grammars = new Map<string, Promise<LlamaGrammar>>();

  /** `showsControl`: with the spellings of control tokens, which some models mark their calls with. */
  const detokenizeWith = (showsControl: boolean) => (tokens: readonly Token[], before: readonly Token[]) =>
    model.detokenize([...tokens], showsControl, needsContext ? before : undefined);

  /** One state a response: it remembers where in the grammar it is. */
  async function grammarState(text: string): Promise<LlamaGrammarEvaluationState> {
    const made = grammars.get(text) ?? llama.createGrammar({ grammar: text });
    grammars.delete(text);
    grammars.set(text, made);
    const oldest = grammars.keys().next();
    if (grammars.size > KEPT_GRAMMARS && !oldest.done) grammars.delete(oldest.value);
    return new module.LlamaGrammarEvaluationState({ model, grammar: await made });
  }

  function readPrompt({ prompt, tools }: Pick<GenerateRequest, "prompt" | "tools">) {
    const shown = tools === undefined || tools.choice === "none" ? [] : tools.functions;
    return prompts.read(prompt, shown);
  }

  async function* generate(request: GenerateRequest): AsyncGenerator<GenerateEvent, void, void> {
    request.signal.throwIfAborted();
    const { maxTokens, sampling, topLogprobs, echo } = request;
    const { tokens: prompt, reasoning } = readPrompt(request);
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
    const { grammar, parser } = planner.plan(request, reasoning);
    const grammarEvaluationState = grammar === undefined ? undefined : await grammarState(grammar);
    yield* runGeneration(request, {
      batcher,
      prompt,
      limit: maxTokens ?? room,
      detokenize: detokenizeWith(parser !== undefined),
      spellPrompt: (tokens) => detokenizeWith(true)(tokens, []),
      isEnd: model.isEogToken,
      toEvaluateOptions: (generated) => ({
        ...toEvaluateOptions(sampling, model, module, generated, contextSize),
        ...(grammarEvaluationState === undefined ? {} : { grammarEvaluationState }),
      }),
      parser,
      scoring:
        topLogprobs === undefined ? undefined : { topLogprobs, isPromptScored: echo === true, sampling },
      tokenText,
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
    countPrompt: (request) => readPrompt(request).tokens.length,
    embed,
    active,
    queued,
    close,
  };
}
