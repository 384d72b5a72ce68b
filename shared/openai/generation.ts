import { z } from "zod";
import type { OutputFormat, Prompt, Sampling } from "../engine.ts";
import { eachInput } from "./embeddings.ts";
import { invalidRequest, unsupported } from "./errors.ts";
import { type ChatRequest, type CompletionRequest, optional, parseBody } from "./schemas.ts";
import { checkToolMessages, readToolUse, type ToolUse } from "./tools.ts";

/** What an engine can do beyond plain text; a request for more is a clear 400, never a wrong answer. */
export type Feature = "tools" | "format" | "logprobs" | "suffix";

/** What a request asks to generate: the parts that all of its choices share. */
export interface Generation {
  readonly prompts: readonly Prompt[];
  /** Choices that are generated for each prompt. */
  readonly candidates: number;
  /** Choices that are answered for each prompt: the best of the candidates. */
  readonly n: number;
  readonly maxTokens: number | undefined;
  readonly sampling: Omit<Sampling, "seed">;
  /** Of the first choice; undefined: random. */
  readonly seed: number | undefined;
  readonly stop: readonly string[];
  readonly tools: ToolUse | undefined;
  readonly format: OutputFormat | undefined;
  readonly topLogprobs: number | undefined;
  readonly echo: boolean;
}

/** Completion tokens of `/v1/completions` when the client names none: OpenAI's default. */
export const COMPLETIONS_MAX_TOKENS = 16;

export function chatGeneration(body: ChatRequest, can: ReadonlySet<Feature>): Generation {
  checkToolMessages(body.messages);
  const tools = readToolUse(body);
  const format = outputFormat(body.response_format);
  const topLogprobs = body.logprobs === true ? (body.top_logprobs ?? 0) : undefined;
  if (tools.choice !== "none") {
    requireFeature(can, "tools", tools.legacy ? "functions" : "tools");
    if (format !== undefined) {
      throw unsupported(
        "response_format",
        "`response_format` beside tools that may be called is not supported by this engine.",
      );
    }
  }
  if (format !== undefined) requireFeature(can, "format", "response_format");
  if (topLogprobs !== undefined) requireFeature(can, "logprobs", "logprobs");
  if (Array.isArray(body.modalities) && body.modalities.includes("audio")) {
    throw unsupported("modalities", "This model writes text only.");
  }
  const n = body.n ?? 1;
  return {
    ...common(body),
    prompts: [{ kind: "chat", messages: body.messages, templateArguments: templateArguments(body) }],
    candidates: n,
    n,
    maxTokens: body.max_completion_tokens ?? body.max_tokens,
    tools,
    format,
    topLogprobs,
    echo: false,
  };
}

export function completionGeneration(body: CompletionRequest, can: ReadonlySet<Feature>): Generation {
  const n = body.n ?? 1;
  const candidates = Math.max(body.best_of ?? n, 1);
  if (candidates < n) {
    throw invalidRequest(
      `Invalid 'best_of': it must be at least n (${n}); found ${candidates}.`,
      "best_of",
      "invalid_value",
    );
  }
  if (candidates > n && body.stream === true) {
    throw invalidRequest(
      "`best_of` above n can't be streamed: the best is known at the end.",
      "best_of",
      "invalid_value",
    );
  }
  // The best is the likeliest, so its candidates are scored; an echo is scored by the same means.
  const topLogprobs = body.logprobs ?? (candidates > n ? 0 : undefined);
  if (topLogprobs !== undefined)
    requireFeature(can, "logprobs", body.logprobs === undefined ? "best_of" : "logprobs");
  if (body.echo === true) requireFeature(can, "logprobs", "echo");
  if (body.suffix !== undefined && body.suffix !== "") requireFeature(can, "suffix", "suffix");
  return {
    ...common(body),
    prompts: eachInput(body.prompt).map((input) => completionPrompt(input, body.suffix)),
    candidates,
    n,
    maxTokens: body.max_tokens ?? COMPLETIONS_MAX_TOKENS,
    tools: undefined,
    format: undefined,
    topLogprobs,
    echo: body.echo === true,
  };
}

function requireFeature(can: ReadonlySet<Feature>, feature: Feature, param: string): void {
  if (!can.has(feature)) {
    throw unsupported(
      param,
      `\`${param}\` is not supported by this engine. Leave it out, or use a backend that has it.`,
    );
  }
}

function completionPrompt(input: string | readonly number[], suffix: string | undefined): Prompt {
  if (typeof input !== "string") return { kind: "tokens", tokens: input };
  return suffix === undefined || suffix === ""
    ? { kind: "text", text: input }
    : { kind: "infill", prefix: input, suffix };
}

/** `reasoning_effort` reaches templates that know it, under the name they use (Qwen3, gpt-oss). */
function templateArguments(body: ChatRequest): Readonly<Record<string, unknown>> {
  const effort = body.reasoning_effort;
  const thinking = effort === "none" ? { enable_thinking: false } : {};
  return {
    ...(effort === undefined ? {} : { reasoning_effort: effort, ...thinking }),
    ...body.chat_template_kwargs,
  };
}

function common(body: ChatRequest | CompletionRequest) {
  return {
    sampling: {
      temperature: body.temperature ?? 1,
      topP: body.top_p ?? 1,
      topK: Math.max(0, body.top_k ?? 0),
      minP: body.min_p ?? 0,
      frequencyPenalty: body.frequency_penalty ?? 0,
      presencePenalty: body.presence_penalty ?? 0,
      logitBias: new Map(Object.entries(body.logit_bias ?? {}).map(([token, bias]) => [Number(token), bias])),
    },
    seed: body.seed,
    stop: body.stop === undefined ? [] : [body.stop].flat().filter((text) => text !== ""),
  };
}

const responseFormat = z.object({
  response_format: z.discriminatedUnion("type", [
    z.looseObject({ type: z.literal("text") }),
    z.looseObject({ type: z.literal("json_object") }),
    z.looseObject({
      type: z.literal("json_schema"),
      json_schema: z.looseObject({
        name: z.string().regex(/^[a-zA-Z0-9_-]{1,64}$/, {
          error: "expected 1 to 64 letters, digits, underscores or dashes",
        }),
        schema: optional(z.union([z.record(z.string(), z.unknown()), z.boolean()])),
        strict: optional(z.boolean()),
      }),
    }),
  ]),
});

function outputFormat(field: unknown): OutputFormat | undefined {
  if (field === undefined) return undefined;
  const { response_format: asked } = parseBody(responseFormat, { response_format: field });
  switch (asked.type) {
    case "text":
      return undefined;
    case "json_object":
      return { kind: "json_object", param: "response_format" };
    case "json_schema":
      return { kind: "json_schema", schema: asked.json_schema.schema ?? true, param: "response_format" };
    default:
      return asked satisfies never;
  }
}
