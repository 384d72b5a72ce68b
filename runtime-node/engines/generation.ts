import type { SequenceEvaluateOptions, Token } from "node-llama-cpp";
import type { GenerateEvent, GenerateRequest } from "../../shared/engine.ts";
import type { Batcher, Job } from "./batcher.ts";
import { createDetokenizer, type Detokenize } from "./detokenizer.ts";
import { createStopScanner } from "./stop.ts";

export interface GenerationOptions {
  readonly batcher: Batcher;
  readonly prompt: readonly Token[];
  /** Most tokens to make: what was asked for, or what the context has room for. */
  readonly limit: number;
  readonly detokenize: Detokenize<Token>;
  /** Tokens that end a text: they count, but have no text. */
  readonly isEnd: (token: Token) => boolean;
  /** How to sample, given the list that the tokens made so far are in. */
  readonly toEvaluateOptions: (generated: readonly Token[]) => SequenceEvaluateOptions;
}

/**
 * One generation in the batcher, as events. Counts are written as tokens are made, the end token included (vLLM and
 * llama-server count it too); the prompt's are those that are in the sequence. They are final when this ends, and it
 * ends when its sequence is free: also when `signal` aborts or the caller returns early. Tokens that nobody reads yet
 * wait in memory, at most a context of them: a slow reader holds no sequence.
 */
export async function* runGeneration(
  request: GenerateRequest,
  options: GenerationOptions,
): AsyncGenerator<GenerateEvent, void, void> {
  const { signal } = request;
  signal.throwIfAborted();
  const inbox = createInbox();
  const { cancel } = options.batcher.submit(createJob(request, options, inbox));
  signal.addEventListener("abort", cancel, { once: true });
  try {
    while (true) {
      const event = inbox.take();
      if (event === undefined) {
        await inbox.changed();
        if (signal.aborted) break;
        continue;
      }
      yield event;
      if (event.type === "finish") return;
      if (signal.aborted) break;
    }
  } finally {
    signal.removeEventListener("abort", cancel);
    cancel();
    await inbox.ended;
  }
  throw signal.reason;
}

interface Inbox {
  put(event: GenerateEvent): void;
  /** The next event, if there is one. Throws what the job failed with, after the events before it. */
  take(): GenerateEvent | undefined;
  /** Resolves at the next event, or at the end. */
  changed(): Promise<void>;
  end(failure: unknown): void;
  readonly ended: Promise<void>;
}

function createInbox(): Inbox {
  const events: GenerateEvent[] = [];
  const end = Promise.withResolvers<void>();
  let change = Promise.withResolvers<void>();
  let failed: { readonly failure: unknown } | undefined;

  function notify(): void {
    change.resolve();
    change = Promise.withResolvers();
  }

  return {
    put: (event) => {
      events.push(event);
      notify();
    },
    take: () => {
      const event = events.shift();
      if (event === undefined && failed !== undefined) throw failed.failure;
      return event;
    },
    changed: () => change.promise,
    end: (failure) => {
      if (failure !== undefined) failed = { failure };
      end.resolve();
      notify();
    },
    ended: end.promise,
  };
}

function createJob(request: GenerateRequest, options: GenerationOptions, inbox: Inbox): Job {
  const { counts } = request;
  const { prompt, limit } = options;
  const generated: Token[] = [];
  const detokenizer = createDetokenizer(options.detokenize, prompt);
  const stops = createStopScanner(request.stop);

  function put(text: string): void {
    if (text !== "") inbox.put({ type: "text", text });
  }

  function finish(reason: "stop" | "length"): false {
    const last = stops.push(detokenizer.flush());
    put(last.text);
    if (last.stop === undefined) put(stops.flush());
    inbox.put({ type: "finish", reason: last.stop === undefined ? reason : "stop", ...stopOf(last.stop) });
    return false;
  }

  function onPrompt(computedTokens: number): void {
    counts.promptTokens = computedTokens;
    if (computedTokens < prompt.length) return;
    inbox.put({ type: "prompt" });
    if (limit === 0) finish("length");
  }

  function onToken(token: Token): boolean {
    counts.completionTokens++;
    if (options.isEnd(token)) return finish("stop");
    generated.push(token);
    const { text, stop } = stops.push(detokenizer.push(token));
    put(text);
    if (stop !== undefined) {
      inbox.put({ type: "finish", reason: "stop", ...stopOf(stop) });
      return false;
    }
    return generated.length < limit || finish("length");
  }

  return {
    prompt,
    generates: limit > 0,
    options: options.toEvaluateOptions(generated),
    onStart: (cachedTokens) => {
      counts.cachedTokens = cachedTokens;
    },
    onPrompt,
    onToken,
    onEnd: inbox.end,
  };
}

function stopOf(stop: string | undefined): { readonly stopSequence?: string } {
  return stop === undefined ? {} : { stopSequence: stop };
}
