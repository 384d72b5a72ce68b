import type {
  EngineCall,
  EngineStatus,
  GenerateEvent,
  GenerateRequest,
  GeneratingEngine,
  Prompt,
} from "./engine.ts";
import { respondByGenerating } from "./openai/compose.ts";
import { contextLengthExceeded, unavailable } from "./openai/errors.ts";

export interface DummyEngineOptions {
  /** Tokens that prompt and completion may take together. */
  readonly contextSize?: number;
  /** Awaited before each token: tests hold a stream open here. */
  readonly beforeToken?: (index: number, signal: AbortSignal) => Promise<void>;
}

/** Length of a dummy embedding. */
const DIMENSIONS = 64;

/**
 * An engine without a model, on the real wire: it repeats the last message (or the prompt) word by word, one word a
 * token, so that answers, counts and stops are known beforehand. Fast and deterministic; for tests and for trying
 * the edge without a backend.
 */
export function createDummyEngine(options: DummyEngineOptions = {}): GeneratingEngine {
  const contextSize = options.contextSize ?? 4096;
  const loaded = new Set<string>();
  const closing = new AbortController();
  const closed = Promise.resolve();
  let active = 0;

  async function* generate(request: GenerateRequest): AsyncGenerator<GenerateEvent, void, void> {
    requireLoaded(request.model);
    const prompt = words(promptText(request.prompt));
    const param = request.prompt.kind === "chat" ? "messages" : "prompt";
    const { counts, maxTokens } = request;
    const signal = AbortSignal.any([request.signal, closing.signal]);
    if (prompt.length + (maxTokens ?? 0) > contextSize) {
      const asked = maxTokens === undefined ? {} : { maxTokens };
      throw contextLengthExceeded({ contextSize, promptTokens: prompt.length, param, ...asked });
    }
    active++;
    try {
      counts.promptTokens = prompt.length;
      yield { type: "prompt" };
      const limit = maxTokens ?? contextSize - prompt.length;
      const reply = words(lastText(request.prompt));
      let text = "";
      let sent = 0;
      for (const [i, word] of reply.entries()) {
        if (i >= limit) {
          if (sent < text.length) yield { type: "text", text: text.slice(sent) };
          return yield { type: "finish", reason: "length" };
        }
        await options.beforeToken?.(i, signal);
        signal.throwIfAborted();
        counts.completionTokens++;
        text += word;
        const hit = firstStop(text, request.stop);
        const end = hit?.at ?? text.length - heldBack(text, request.stop);
        if (end > sent) yield { type: "text", text: text.slice(sent, end) };
        if (hit !== undefined) return yield { type: "finish", reason: "stop", stopSequence: hit.stop };
        sent = Math.max(sent, end);
      }
      if (sent < text.length) yield { type: "text", text: text.slice(sent) };
      yield { type: "finish", reason: "stop" };
    } finally {
      active--;
    }
  }

  function isModelLoaded(model: string): boolean {
    return !closing.signal.aborted && loaded.has(model);
  }

  function requireLoaded(model: string): void {
    if (!isModelLoaded(model)) throw unavailable(`The model \`${model}\` is not loaded.`, 1000);
  }

  return {
    id: "dummy",
    initialize: async () => {},
    loadModel: async (model) => {
      loaded.add(model);
    },
    isModelLoaded,
    models: async () => [...loaded].map((id) => ({ id, created: 0, ownedBy: "sluice", contextSize })),
    generate,
    respond: async (call: EngineCall) =>
      respondByGenerating(call, {
        generate,
        embed: async (model, input) => {
          requireLoaded(model);
          return typeof input === "string"
            ? { vector: embed(input), tokens: words(input).length }
            : { vector: embed(input.join(" ")), tokens: input.length };
        },
        fingerprint: "dummy",
        can: new Set(),
      }),
    status: (): EngineStatus => ({
      state: closing.signal.aborted ? "stopped" : "ready",
      active,
      queued: 0,
      details: { contextSize },
    }),
    close: () => {
      closing.abort(unavailable("The engine was closed.", 1000));
      return closed;
    },
  };
}

/** The prompt as one text; a dummy token is a word with the space before it. */
function promptText(prompt: Prompt): string {
  switch (prompt.kind) {
    case "chat":
      return prompt.messages.map((message) => contentText(message.content)).join(" ");
    case "text":
      return prompt.text;
    case "infill":
      return prompt.prefix;
    case "tokens":
      return prompt.tokens.join(" ");
    default:
      return prompt satisfies never;
  }
}

function lastText(prompt: Prompt): string {
  return prompt.kind === "chat" ? contentText(prompt.messages.at(-1)?.content) : promptText(prompt);
}

function contentText(content: string | readonly { readonly type: string }[] | undefined): string {
  if (content === undefined || typeof content === "string") return content ?? "";
  return content.map((part) => ("text" in part ? String(part.text) : "")).join("");
}

function words(text: string): readonly string[] {
  return text.match(/\s*\S+/g) ?? [];
}

function firstStop(text: string, stops: readonly string[]): { at: number; stop: string } | undefined {
  return stops
    .map((stop) => ({ at: text.indexOf(stop), stop }))
    .filter(({ at }) => at >= 0)
    .sort((a, b) => a.at - b.at)[0];
}

/** How much of the text's end may be the head of a stop string, which must not be sent. */
function heldBack(text: string, stops: readonly string[]): number {
  const heads = stops.flatMap((stop) => Array.from(stop, (_, i) => stop.slice(0, i)));
  return Math.max(0, ...heads.filter((head) => text.endsWith(head)).map((head) => head.length));
}

/** A vector of length 1 that depends on every character. */
function embed(text: string): Float32Array {
  const vector = new Float32Array(DIMENSIONS).fill(1);
  for (const [i, character] of [...text].entries()) {
    const at = i % DIMENSIONS;
    vector[at] = (vector[at] ?? 0) + (character.codePointAt(0) ?? 0) / 1000;
  }
  const length = Math.hypot(...vector);
  return vector.map((value) => value / length);
}
