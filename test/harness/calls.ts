import type { z } from "zod";
import type { CallReport, EngineCall, GenerateRequest, Sampling } from "../../shared/engine.ts";
import { chatRequest, completionRequest, embeddingRequest, parseBody } from "../../shared/openai/schemas.ts";

/** The name that clients ask for; answers must carry it, whatever the model's name on the engine is. */
export const ASKED = "asked-for";

type Body = Readonly<Record<string, unknown>>;

export function chatCall(model: string, body: Body, signal?: AbortSignal) {
  return { ...frame(model, signal), route: "chat" as const, body: parse(chatRequest, body) };
}

export function completionCall(model: string, body: Body, signal?: AbortSignal): EngineCall {
  return { ...frame(model, signal), route: "completions", body: parse(completionRequest, body) };
}

export function embeddingCall(model: string, body: Body, signal?: AbortSignal): EngineCall {
  return { ...frame(model, signal), route: "embeddings", body: parse(embeddingRequest, body) };
}

export const GREEDY: Sampling = {
  temperature: 0,
  topP: 1,
  topK: 0,
  minP: 0,
  seed: 1,
  frequencyPenalty: 0,
  presencePenalty: 0,
  logitBias: new Map(),
};

/** Greedy, of 20 tokens at most. */
export function textGeneration(model: string, text: string, signal: AbortSignal): GenerateRequest {
  return {
    model,
    prompt: { kind: "text", text },
    maxTokens: 20,
    sampling: GREEDY,
    stop: [],
    signal,
    counts: { promptTokens: 0, cachedTokens: 0, completionTokens: 0, reasoningTokens: 0 },
  };
}

function parse<T extends z.ZodObject>(schema: T, body: Body): z.infer<T> {
  return parseBody(schema, { ...body, model: ASKED });
}

function frame(model: string, signal = new AbortController().signal) {
  const report: CallReport = {
    read: () => {
      throw new Error("The engine has not set report.read");
    },
    failure: undefined,
  };
  return { requestId: "req_test", model, signal, report };
}
