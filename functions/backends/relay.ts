import type { EngineCall } from "../../shared/engine.ts";
import { ApiError, badGateway, errorBody, gatewayTimeout } from "../../shared/openai/errors.ts";
import { DONE_EVENT, encodeEvent, eventStream, readEvents } from "../../shared/openai/sse.ts";
import {
  estimateTokens,
  NO_USAGE,
  readUsage,
  type Usage,
  type UsageReading,
} from "../../shared/openai/usage.ts";
import type { Heard, Wire } from "./dialect.ts";
import { readError } from "./upstream-error.ts";

/** The backend's answer under the model name the client asked for, with OpenAI's required nulls in place. */
export function relayAnswer(call: EngineCall, answer: Wire): Record<string, unknown> {
  const named = { ...answer, model: call.body.model };
  return call.route === "embeddings" ? named : withRequiredKeys(named, "message");
}

/** Peers leave out `logprobs` and `refusal`, and send a null `system_fingerprint`; OpenAI's schemas refuse all three. */
function withRequiredKeys(answer: Wire, part: "message" | "delta"): Record<string, unknown> {
  const { system_fingerprint: fingerprint, ...rest } = answer;
  const choices: readonly unknown[] = Array.isArray(answer.choices) ? answer.choices : [];
  return {
    ...rest,
    ...(typeof fingerprint === "string" ? { system_fingerprint: fingerprint } : {}),
    choices: choices.map((choice) => {
      if (typeof choice !== "object" || choice === null) return choice;
      const filled = { logprobs: null, ...choice };
      if (part !== "message" || !("message" in choice)) return filled;
      return { ...filled, message: { content: null, refusal: null, ...Object(choice.message) } };
    }),
  };
}

export interface RelayOptions {
  readonly backend: string;
  /** Aborting it closes the connection to the backend. */
  readonly abort: AbortController;
  readonly idleTimeoutMs: number;
  /** Of the request as it was sent: what a prompt is billed by whose tokens nobody tells. */
  readonly requestBytes: number;
  /** Takes the key for the backend out of what it says. */
  readonly withoutKey: (text: string) => string;
  /** What the backend's dialect makes of each chunk; as it came when left out. */
  readonly hear?: ((chunk: Wire) => Heard) | undefined;
  /** Called when the connection is done with; more than once does no harm. */
  readonly onEnd: () => void;
}

/**
 * The backend's stream, event by event: read for its usage, and passed on as it came unless something must change
 * (the model's name, usage the client didn't ask for). A stream that breaks off ends in an error event.
 */
export function relayStream(
  call: EngineCall,
  bytes: AsyncIterable<Uint8Array>,
  options: RelayOptions,
): Response {
  const seen: Seen = { usage: undefined, tokens: 0 };
  const promptTokens = estimateTokens(options.requestBytes);
  call.report.read = () => readingOf(seen, promptTokens);
  const events = relayEvents(call, bytes, seen, options);
  const stop = async (reason: unknown) => {
    options.abort.abort(reason);
    await events.return();
    options.onEnd();
  };
  return eventStream(events, stop);
}

/** What a stream told of its tokens so far: its own usage, and the pieces of its choices since. */
interface Seen {
  usage: Usage | undefined;
  tokens: number;
}

/** Without usage the prompt counts from the first token on: a backend that gave none may not have computed it. */
function readingOf({ usage, tokens }: Seen, promptTokens: number): UsageReading {
  if (tokens === 0) return { usage: usage ?? NO_USAGE, source: usage === undefined ? "counted" : "engine" };
  const known = usage ?? { ...NO_USAGE, promptTokens };
  return { usage: { ...known, completionTokens: known.completionTokens + tokens }, source: "counted" };
}

async function* relayEvents(
  call: EngineCall,
  bytes: AsyncIterable<Uint8Array>,
  seen: Seen,
  { backend, abort, idleTimeoutMs, withoutKey, hear = (chunk) => ({ chunk }), onEnd }: RelayOptions,
): AsyncGenerator<Uint8Array, void, void> {
  const unfinished = new Set<unknown>();
  let isFinished = false;
  /** The last usage that came beside text: a client that asked gets it at the end, in a chunk of its own. */
  let untold: Wire | undefined;

  let isQuiet = true;
  let isWaiting = true;
  const watch = setInterval(() => {
    if (isQuiet && isWaiting)
      abort.abort(gatewayTimeout(`The backend \`${backend}\` sent nothing for ${idleTimeoutMs} ms.`));
    isQuiet = true;
  }, idleTimeoutMs);
  const onBytes = () => {
    isQuiet = false; // Comments count: they say that the backend is alive.
  };
  try {
    for await (const event of readEvents(watched(bytes, onBytes))) {
      if (event === "[DONE]") {
        isFinished = true;
        unfinished.clear();
        break;
      }
      const sent = parseChunk(event);
      if (sent === undefined) continue;
      if (isError(sent)) throw streamError(withoutKey(event));
      const { chunk, usage = readUsage(chunk) } = hear(sent);
      if (usage !== undefined) {
        seen.usage = usage;
        seen.tokens = 0;
      }
      if (chunk === undefined) continue;
      const choices: readonly unknown[] = Array.isArray(chunk.choices) ? chunk.choices : [];
      // A usage counts the tokens that it comes with.
      if (usage === undefined) seen.tokens += choices.filter(hasToken).length;
      for (const choice of choices) {
        const isLast = hasFinishReason(choice);
        isFinished ||= isLast;
        if (isLast) unfinished.delete(indexOf(choice));
        else unfinished.add(indexOf(choice));
      }
      if (asksUsage(call) && "usage" in chunk && chunk.usage !== null)
        untold = choices.length > 0 ? chunk : undefined;
      const relayed = relayChunk(call, chunk, chunk === sent ? event : undefined, choices.length === 0);
      if (relayed === undefined) continue;
      isWaiting = false; // A client that reads slowly is not the backend's silence.
      yield encodeEvent(relayed);
      isWaiting = true;
      isQuiet = false;
    }
    if (!isFinished || unfinished.size > 0)
      throw badGateway(`The backend \`${backend}\` broke off in mid-stream.`);
    if (untold !== undefined)
      yield encodeEvent(JSON.stringify({ ...untold, model: call.body.model, choices: [] }));
    yield DONE_EVENT;
  } catch (thrown) {
    if (call.signal.aborted) throw thrown;
    const reason = abort.signal.aborted ? abort.signal.reason : thrown;
    const failure =
      reason instanceof ApiError
        ? reason
        : badGateway(`The backend \`${backend}\` broke off in mid-stream.`, reason);
    call.report.failure = failure;
    yield encodeEvent(JSON.stringify(errorBody(failure)));
  } finally {
    clearInterval(watch);
    onEnd();
  }
}

async function* watched(bytes: AsyncIterable<Uint8Array>, onBytes: () => void): AsyncGenerator<Uint8Array> {
  for await (const piece of bytes) {
    onBytes();
    yield piece;
  }
}

/** The chunk as the client gets it: `event`, its own text, where nothing must change; undefined: not at all. */
function relayChunk(
  call: EngineCall,
  chunk: Wire,
  event: string | undefined,
  isUsageOnly: boolean,
): string | undefined {
  const isAsked = asksUsage(call);
  if (isUsageOnly && !isAsked) return undefined;
  const isRenamed = chunk.model !== call.body.model;
  const hasSurplus = "usage" in chunk && (!isAsked || (!isUsageOnly && chunk.usage !== null));
  const isIncomplete = chunk.system_fingerprint === null;
  if (event !== undefined && !isRenamed && !hasSurplus && !isIncomplete) return event;
  const { usage, ...rest } = chunk;
  const told = isUsageOnly ? (usage ?? null) : null;
  const named = { ...rest, model: call.body.model, ...(isAsked ? { usage: told } : {}) };
  return JSON.stringify(isUsageOnly ? named : withRequiredKeys(named, "delta"));
}

function asksUsage(call: EngineCall): boolean {
  return call.route !== "embeddings" && call.body.stream_options?.include_usage === true;
}

function parseChunk(event: string): Record<string, unknown> | undefined {
  const chunk: unknown = JSON.parse(event);
  return typeof chunk === "object" && chunk !== null ? { ...chunk } : undefined;
}

function isError(chunk: Wire): boolean {
  return chunk.error !== undefined && chunk.error !== null;
}

function streamError(event: string): ApiError {
  const { message, type, code } = readError(event);
  return new ApiError(502, message ?? "The backend failed in mid-stream.", {
    type: type ?? "server_error",
    code: code ?? null,
  });
}

/** Text, reasoning or a part of a tool call: what the opening role and the finish don't have. */
function hasToken(choice: unknown): boolean {
  const { delta, text }: { delta?: unknown; text?: unknown } = Object(choice);
  const { role: _, ...fields }: Record<string, unknown> = Object(delta);
  return [text, ...Object.values(fields)].some(
    (field) => (typeof field === "string" || Array.isArray(field)) && field.length > 0,
  );
}

function indexOf(choice: unknown): unknown {
  return Object(choice).index;
}

function hasFinishReason(choice: unknown): boolean {
  return (
    typeof choice === "object" &&
    choice !== null &&
    "finish_reason" in choice &&
    choice.finish_reason !== null
  );
}
