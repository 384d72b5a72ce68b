import type { SequenceEvaluateOptions, Token } from "node-llama-cpp";
import type { GenerateEvent, GenerateRequest, TokenLogprob } from "../../shared/engine.ts";
import type { Batcher } from "./batcher.ts";
import { createDetokenizer, type Detokenize } from "./detokenizer.ts";
import type { Job } from "./row.ts";
import type { Scoring, TokenScore } from "./scored-tokens.ts";
import { createStopScanner } from "./stop.ts";
import type { TokenText } from "./token-bytes.ts";
import type { OutputEvent, OutputParser } from "./tools/output-parser.ts";

export interface GenerationOptions {
  readonly batcher: Batcher;
  readonly prompt: readonly Token[];
  /** Most tokens to make: what was asked for, or what the context has room for. */
  readonly limit: number;
  readonly detokenize: Detokenize<Token>;
  /** The prompt as text, control tokens spelled out: what an echo begins with. */
  readonly spellPrompt: (prompt: readonly Token[]) => string;
  /** Tokens that end a text: they count, but have no text. */
  readonly isEnd: (token: Token) => boolean;
  /** How to sample, given the list that the tokens made so far are in. */
  readonly toEvaluateOptions: (generated: readonly Token[]) => SequenceEvaluateOptions;
  /** Separates calls and reasoning from content; undefined: all of it is content. */
  readonly parser: OutputParser | undefined;
  /** Undefined: no log probabilities. */
  readonly scoring: Scoring | undefined;
  readonly tokenText: TokenText;
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
  const { prompt, limit, parser, scoring } = options;
  const generated: Token[] = [];
  const detokenizer = createDetokenizer(options.detokenize, prompt);
  const stops = createStopScanner(request.stop);
  const scores = createScoreQueue(options.tokenText);
  const promptScores: TokenScore[] = [];
  let calls = 0;

  /** Takes more of the model's text; returns the stop string that ended it, if one did. Only content is searched for one. */
  function take(text: string): string | undefined {
    return parser === undefined ? takeContent(text) : takeEvents(parser.push(text));
  }

  function takeEvents(events: readonly OutputEvent[]): string | undefined {
    for (const event of events) {
      if (event.type === "text") {
        const stop = takeContent(event.text);
        if (stop !== undefined) return stop;
      } else {
        putText(stops.flush());
        putEvent(event);
      }
    }
    return undefined;
  }

  function takeContent(content: string): string | undefined {
    const { text, stop } = stops.push(content);
    putText(text);
    return stop;
  }

  function putText(text: string): void {
    if (text === "") return;
    // Between the raw text and the content of a parser stand marks of calls, so it isn't told apart to the character.
    const logprobs = scores.release(parser === undefined ? text.length : Number.POSITIVE_INFINITY);
    inbox.put({ type: "text", text, ...(scoring === undefined ? {} : { logprobs }) });
  }

  function putEvent(event: OutputEvent): void {
    if (event.type === "toolCall") calls++;
    scores.flush(); // Tokens of a call, or of a thought, are no content.
    inbox.put(event);
  }

  function finish(reason: "stop" | "length", stop?: string): false {
    const isCall = reason === "stop" && calls > 0;
    inbox.put({ type: "finish", reason: isCall ? "tool_calls" : reason, ...stopOf(stop) });
    return false;
  }

  /** Behind the last token: what was held back for more to come. */
  function flush(reason: "stop" | "length"): false {
    const stop = take(detokenizer.flush()) ?? takeEvents(parser?.end(reason) ?? []);
    if (stop !== undefined) return finish("stop", stop);
    putText(stops.flush());
    const rest = scores.flush();
    if (rest.length > 0 && calls === 0) inbox.put({ type: "text", text: "", logprobs: rest });
    return finish(reason);
  }

  function onPrompt(computedTokens: number): void {
    counts.promptTokens = computedTokens;
    if (computedTokens < prompt.length) return;
    inbox.put({ type: "prompt" });
    if (request.echo === true) putEcho();
    if (limit === 0) flush("length");
  }

  function putEcho(): void {
    const [first] = prompt;
    const scored =
      first === undefined ? promptScores : [{ token: first, logprob: null, top: [] }, ...promptScores];
    const logprobs = scored.map((score) => toLogprob(score, options.tokenText));
    const text = options.spellPrompt(prompt);
    inbox.put({ type: "text", text, ...(scoring === undefined ? {} : { logprobs }) });
  }

  function onToken(token: Token, score?: TokenScore): boolean {
    counts.completionTokens++;
    const isReasoning = parser?.isReasoning() === true;
    if (isReasoning) counts.reasoningTokens++;
    if (options.isEnd(token)) return flush("stop");
    generated.push(token);
    const piece = detokenizer.push(token);
    if (score !== undefined && !isReasoning) scores.add(score, piece.length);
    const stop = take(piece);
    if (stop !== undefined) return finish("stop", stop);
    if (parser?.isDone() === true) return flush("stop");
    return generated.length < limit || flush("length");
  }

  return {
    prompt,
    generates: limit > 0,
    options: options.toEvaluateOptions(generated),
    scoring,
    onStart: (cachedTokens) => {
      counts.cachedTokens = cachedTokens;
    },
    onPrompt,
    onPromptScores: (more) => promptScores.push(...more),
    onToken,
    onEnd: inbox.end,
  };
}

/** Holds the scores of tokens until their text goes out, so that tokens behind a stop string never do. */
function createScoreQueue(tokenText: TokenText) {
  /** `end`: where the token's text ends; unknown while it is half a character. */
  let waiting: { readonly logprob: TokenLogprob; readonly end: number | undefined }[] = [];
  let made = 0;
  let sent = 0;
  return {
    /** `characters`: how much text became complete with the token. */
    add(score: TokenScore, characters: number): void {
      made += characters;
      waiting.push({ logprob: toLogprob(score, tokenText), end: undefined });
      if (characters > 0) waiting = waiting.map((each) => ({ ...each, end: each.end ?? made }));
    },
    /** Those of the tokens that end within the next `characters` of the text. */
    release(characters: number): TokenLogprob[] {
      sent += characters;
      const later = waiting.findIndex(({ end }) => end === undefined || end > sent);
      return waiting.splice(0, later === -1 ? waiting.length : later).map(({ logprob }) => logprob);
    },
    /** The rest, when no more text comes. */
    flush: () => waiting.splice(0).map(({ logprob }) => logprob),
  };
}

function toLogprob({ token, logprob, top }: TokenScore, tokenText: TokenText): TokenLogprob {
  const named = (id: Token) => ({ token: tokenText.text(id), bytes: tokenText.bytes(id) });
  return {
    ...named(token),
    logprob,
    top: top.map((each) => ({ ...named(each.token), logprob: each.logprob })),
  };
}

function stopOf(stop: string | undefined): { readonly stopSequence?: string } {
  return stop === undefined ? {} : { stopSequence: stop };
}
