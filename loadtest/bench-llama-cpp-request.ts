import type { GenerateRequest, GeneratingEngine, Prompt } from "../shared/engine.ts";

export const BENCH_MODEL = "bench";
/** An answer's length where a wish names none. */
export const BENCH_TOKENS = 64;

/** The engine that is measured, loaded, and where it is said what it keeps of its promises. */
export interface EngineBench {
  readonly engine: GeneratingEngine;
  /** The model's file. */
  readonly path: string;
  /** Its tokens that end a text. */
  readonly banned: readonly number[];
  readonly promise: (isKept: boolean, text: string) => void;
}

export interface Wish {
  readonly maxTokens?: number;
  /** Tokens that it must not make: without those that end a text it ends by its limit alone. */
  readonly banned?: readonly number[];
  readonly temperature?: number;
  readonly seed?: number;
  readonly signal?: AbortSignal;
}

/** What the engine is asked: greedy, unless the wish says otherwise. */
export function wish(prompt: Prompt, options: Wish): GenerateRequest {
  const { maxTokens = BENCH_TOKENS, banned = [], temperature = 0, seed = 1, signal } = options;
  return {
    model: BENCH_MODEL,
    prompt,
    maxTokens,
    stop: [],
    signal: signal ?? new AbortController().signal,
    counts: { promptTokens: 0, cachedTokens: 0, completionTokens: 0, reasoningTokens: 0 },
    sampling: {
      temperature,
      topP: 1,
      topK: 0,
      minP: 0,
      seed,
      frequencyPenalty: 0,
      presencePenalty: 0,
      logitBias: new Map(banned.map((token) => [token, -100])),
    },
  };
}

export function text(content: string): Prompt {
  return { kind: "text", text: content };
}

export function chat(content: string): Prompt {
  return { kind: "chat", messages: [{ role: "user", content, name: undefined }] };
}

/** The text of the whole answer. */
export async function drain(engine: GeneratingEngine, request: GenerateRequest): Promise<string> {
  let text = "";
  for await (const event of engine.generate(request)) if (event.type === "text") text += event.text;
  return text;
}
