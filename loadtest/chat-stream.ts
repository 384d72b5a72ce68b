import { StringDecoder } from "node:string_decoder";
import { createParser } from "eventsource-parser";
import type { FailureKind } from "./record.ts";

/** Of one streamed answer; moments by `monotonicMs`. */
export interface ChatStream {
  events: number;
  firstEventAt: number | null;
  firstTokenAt: number | null;
  /** First token that isn't reasoning. */
  firstOutputAt: number | null;
  lastTokenAt: number | null;
  /** Chunks that carry a token; the gaps before each but the first, in ms, and the tokens in each. */
  chunks: number;
  gapsMs: number[];
  chunkTokens: number[];
  usage: Usage | null;
  hasUsageInChunks: boolean;
  finish: string | null;
  /** From a stamp in the content to here, in ms: only the mock writes them. */
  oneWayMs: number[];
  /** The answer, where it was asked for. */
  text: string;
  failure: { readonly kind: FailureKind; readonly error: string } | null;
}

export interface Usage {
  readonly prompt: number;
  readonly completion: number;
  readonly cached: number;
  readonly reasoning: number;
}

export interface ChatStreamReader {
  readonly stream: ChatStream;
  /** All events of one read have one time: that of the read. */
  feed(bytes: Buffer, at: number): void;
}

interface ReaderOptions {
  readonly collectsText?: boolean;
  /** The tokens of a chunk as it arrives: exact where the server tells, else 1. */
  readonly onTokens?: (tokens: number, at: number) => void;
}

/** An event longer than this is no chat chunk. */
const MAX_EVENT_CHARS = 4 * 1024 * 1024;
/** The mock's: `@` and milliseconds by the machine's monotonic clock. */
const STAMP = /^@(\d+\.\d{3}) /;

/** Reads server-sent events, however they were split, into what is timed and counted of them. */
export function createChatStreamReader(options: ReaderOptions = {}): ChatStreamReader {
  const decoder = new StringDecoder("utf8");
  const stream = emptyStream();
  let at = 0;
  let counted = 0;
  const parser = createParser({
    maxBufferSize: MAX_EVENT_CHARS,
    onEvent({ data }) {
      stream.events++;
      stream.firstEventAt ??= at;
      if (data === "[DONE]" || stream.failure !== null) return;
      const chunk = parse(data);
      if (chunk === undefined) {
        stream.failure = { kind: "bad_json", error: `an event is no JSON object: ${data.length} characters` };
        return;
      }
      if (chunk.error !== undefined && chunk.error !== null) {
        stream.failure = { kind: "stream_error", error: errorText(chunk.error) };
        return;
      }
      take(chunk);
    },
  });

  function take(chunk: ChatChunk): void {
    const usage = usageOf(chunk.usage);
    if (usage !== null) stream.usage = usage;
    const choice = chunk.choices?.[0];
    if (choice === undefined) return;
    if (typeof choice.finish_reason === "string") stream.finish = choice.finish_reason;
    const output = outputOf(choice);
    const reasoning = choice.delta?.reasoning_content || choice.delta?.reasoning;
    if (!output.isPresent && !reasoning) return;
    // Some servers tell with their last token alone: that is all tokens' count, not this chunk's.
    if (stream.chunks === 0) stream.hasUsageInChunks = usage !== null;
    const isTold = stream.hasUsageInChunks && usage !== null;
    const inChunk = isTold ? Math.max(0, usage.completion - counted) : 1;
    counted += inChunk;
    if (stream.lastTokenAt !== null) stream.gapsMs.push(at - stream.lastTokenAt);
    stream.chunkTokens.push(inChunk);
    stream.chunks++;
    stream.firstTokenAt ??= at;
    if (output.isPresent) stream.firstOutputAt ??= at;
    stream.lastTokenAt = at;
    options.onTokens?.(inChunk, at);
    const stamp = STAMP.exec(output.text || reasoning || "");
    if (stamp !== null) stream.oneWayMs.push(at - Number(stamp[1]));
    if (options.collectsText === true) stream.text += output.text;
  }

  return {
    stream,
    feed(bytes, now) {
      at = now;
      try {
        parser.feed(decoder.write(bytes));
      } catch (error) {
        stream.failure ??= {
          kind: "bad_json",
          error: error instanceof Error ? error.message : String(error),
        };
      }
    },
  };
}

/** The failure of a stream that the server closed, or null when it is a good one. */
export function failureAtEnd(stream: ChatStream): ChatStream["failure"] {
  if (stream.failure !== null) return stream.failure;
  if (stream.chunks === 0) return { kind: "empty_stream", error: "the stream ended without a token" };
  if (stream.finish === null) return { kind: "truncated", error: "the stream ended without a finish_reason" };
  return null;
}

/** As much of the wire as is looked at; what a server sends is not trusted to have this shape. */
interface ChatChunk {
  readonly error?: unknown;
  readonly usage?: unknown;
  readonly choices?: readonly Choice[];
}

interface Choice {
  readonly finish_reason?: unknown;
  readonly text?: string;
  readonly delta?: {
    readonly content?: string | null;
    readonly refusal?: string | null;
    readonly reasoning_content?: string | null;
    readonly reasoning?: string | null;
    readonly tool_calls?: readonly {
      readonly function?: { readonly name?: string; readonly arguments?: string };
    }[];
  };
}

function outputOf({ delta, text }: Choice): { readonly isPresent: boolean; readonly text: string } {
  const content = delta?.content || delta?.refusal || text || "";
  const called = delta?.tool_calls?.[0]?.function;
  return { isPresent: content !== "" || Boolean(called?.name || called?.arguments), text: content };
}

function parse(text: string): ChatChunk | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined; // The caller names it.
  }
}

/** OpenAI's usage, or null where there is none. */
export function usageOf(value: unknown): Usage | null {
  if (typeof value !== "object" || value === null) return null;
  const wire: WireUsage = value;
  return {
    prompt: countOf(wire.prompt_tokens),
    completion: countOf(wire.completion_tokens),
    cached: countOf(wire.prompt_tokens_details?.cached_tokens),
    reasoning: countOf(wire.completion_tokens_details?.reasoning_tokens),
  };
}

interface WireUsage {
  readonly prompt_tokens?: unknown;
  readonly completion_tokens?: unknown;
  readonly prompt_tokens_details?: { readonly cached_tokens?: unknown } | null;
  readonly completion_tokens_details?: { readonly reasoning_tokens?: unknown } | null;
}

function countOf(value: unknown): number {
  return typeof value === "number" ? value : 0;
}

/** The message of an OpenAI error, cut to a line. It is shown on a terminal, which a server must not steer. */
export function errorText(error: unknown): string {
  const message = typeof error === "object" && error !== null ? Reflect.get(error, "message") : error;
  const [line = ""] = (typeof message === "string" ? message : "no message").split(/[\r\n]/, 1);
  return line.replaceAll(/\p{Cc}+/gu, " ").slice(0, 200);
}

function emptyStream(): ChatStream {
  return {
    events: 0,
    firstEventAt: null,
    firstTokenAt: null,
    firstOutputAt: null,
    lastTokenAt: null,
    chunks: 0,
    gapsMs: [],
    chunkTokens: [],
    usage: null,
    hasUsageInChunks: false,
    finish: null,
    oneWayMs: [],
    text: "",
    failure: null,
  };
}
