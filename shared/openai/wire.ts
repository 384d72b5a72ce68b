import type { ChatRequest, CompletionRequest } from "./schemas.ts";
import { toWireUsage, type Usage } from "./usage.ts";

export interface FinishedChoice {
  readonly index: number;
  text: string;
  finish: "stop" | "length" | null;
}

/** How a route writes its answer. Each function returns JSON text; `text` pieces are built by concatenation, they are hot. */
export interface Wire {
  readonly maxTokens: number | undefined;
  opening(index: number): string | undefined;
  piece(index: number, text: string): string;
  finish(index: number, reason: "stop" | "length"): string;
  usage(usage: Usage): string;
  answer(choices: readonly FinishedChoice[], usage: Usage): unknown;
}

/** Completion tokens of `/v1/completions` when the client names none: OpenAI's default. */
const COMPLETIONS_MAX_TOKENS = 16;

/** What stands in every chunk and answer of one call, as JSON text without its closing brace. */
function envelope(id: string, object: string, model: string, fingerprint: string): string {
  const created = Math.floor(Date.now() / 1000);
  return JSON.stringify({ id, object, created, model, system_fingerprint: fingerprint }).slice(0, -1);
}

export function chatWire(body: ChatRequest, fingerprint: string): Wire {
  const id = `chatcmpl-${crypto.randomUUID().replaceAll("-", "")}`;
  const head = envelope(id, "chat.completion.chunk", body.model, fingerprint);
  const tail = body.stream_options?.include_usage === true ? ',"usage":null}' : "}";
  const chunk = (index: number, delta: string, finish: string) =>
    `${head},"choices":[{"index":${index},"delta":${delta},"logprobs":null,"finish_reason":${finish}}]${tail}`;
  return {
    maxTokens: body.max_completion_tokens ?? body.max_tokens,
    opening: (index) => chunk(index, '{"role":"assistant","content":"","refusal":null}', "null"),
    piece: (index, text) => chunk(index, `{"content":${JSON.stringify(text)}}`, "null"),
    finish: (index, reason) => chunk(index, "{}", JSON.stringify(reason)),
    usage: (usage) => `${head},"choices":[],"usage":${JSON.stringify(toWireUsage(usage))}}`,
    answer: (choices, usage) => ({
      ...JSON.parse(`${envelope(id, "chat.completion", body.model, fingerprint)}}`),
      choices: choices.map(({ index, text, finish }) => ({
        index,
        message: { role: "assistant", content: text, refusal: null, annotations: [] },
        logprobs: null,
        finish_reason: finish,
      })),
      usage: toWireUsage(usage),
      service_tier: "default",
    }),
  };
}

export function completionWire(body: CompletionRequest, fingerprint: string): Wire {
  const id = `cmpl-${crypto.randomUUID().replaceAll("-", "")}`;
  const head = envelope(id, "text_completion", body.model, fingerprint);
  const tail = body.stream_options?.include_usage === true ? ',"usage":null}' : "}";
  const chunk = (index: number, text: string, finish: string) =>
    `${head},"choices":[{"index":${index},"text":${text},"logprobs":null,"finish_reason":${finish}}]${tail}`;
  return {
    maxTokens: body.max_tokens ?? COMPLETIONS_MAX_TOKENS,
    opening: () => undefined,
    piece: (index, text) => chunk(index, JSON.stringify(text), "null"),
    finish: (index, reason) => chunk(index, '""', JSON.stringify(reason)),
    usage: (usage) => `${head},"choices":[],"usage":${JSON.stringify(toWireUsage(usage))}}`,
    answer: (choices, usage) => ({
      ...JSON.parse(`${head}}`),
      choices: choices.map(({ index, text, finish }) => ({
        index,
        text,
        logprobs: null,
        finish_reason: finish,
      })),
      usage: toWireUsage(usage),
    }),
  };
}
