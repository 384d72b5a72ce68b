import type { EngineCall } from "../../shared/engine.ts";
import { ApiError, badGateway, errorBody, gatewayTimeout } from "../../shared/openai/errors.ts";
import { DONE_EVENT, encodeEvent, readEvents, SSE_HEADERS } from "../../shared/openai/sse.ts";
import { readUsage, type Usage } from "../../shared/openai/usage.ts";
import { readError } from "./upstream-error.ts";

/** The backend's answer under the model name the client asked for, with OpenAI's required nulls in place. */
export function relayAnswer(call: EngineCall, answer: Record<string, unknown>): Record<string, unknown> {
  const named = { ...answer, model: call.body.model };
  return call.route === "embeddings" ? named : withRequiredKeys(named, "message");
}

/** Peers leave out `logprobs` and `refusal`, and send a null `system_fingerprint`; OpenAI's schemas refuse all three. */
function withRequiredKeys(
  answer: Record<string, unknown>,
  part: "message" | "delta",
): Record<string, unknown> {
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
  const events = relayEvents(call, bytes, options);
  const stop = async (reason: unknown) => {
    options.abort.abort(reason);
    await events.return();
    options.onEnd();
  };
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const step = await events.next();
        if (step.done) controller.close();
        else controller.enqueue(step.value);
      },
      cancel: stop,
    },
    { highWaterMark: 0 },
  );
  return new Response(body, { headers: SSE_HEADERS });
}

async function* relayEvents(
  call: EngineCall,
  bytes: AsyncIterable<Uint8Array>,
  { backend, abort, idleTimeoutMs, onEnd }: RelayOptions,
): AsyncGenerator<Uint8Array, void, void> {
  let reported: Usage | undefined;
  let pieces = 0;
  let isFinished = false;
  call.report.read = () =>
    reported === undefined
      ? {
          usage: { promptTokens: 0, cachedTokens: 0, completionTokens: pieces, reasoningTokens: 0 },
          basis: "counted",
        }
      : { usage: reported, basis: "exact" };

  let isQuiet = true;
  const watch = setInterval(() => {
    if (isQuiet)
      abort.abort(gatewayTimeout(`The backend \`${backend}\` sent nothing for ${idleTimeoutMs} ms.`));
    isQuiet = true;
  }, idleTimeoutMs);
  try {
    for await (const event of readEvents(bytes)) {
      isQuiet = false;
      if (event === "[DONE]") return yield DONE_EVENT;
      const chunk = parseChunk(event);
      if (chunk === undefined) continue;
      if (isError(chunk)) throw streamError(event);
      const usage = readUsage(chunk);
      if (usage !== undefined) reported = usage;
      const choices: readonly unknown[] = Array.isArray(chunk.choices) ? chunk.choices : [];
      if (choices.length > 0) pieces++;
      isFinished ||= choices.some(hasFinishReason);
      const relayed = relayChunk(call, chunk, event, choices.length === 0);
      if (relayed !== undefined) yield encodeEvent(relayed);
    }
    if (!isFinished) throw badGateway(`The backend \`${backend}\` broke off in mid-stream.`);
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

/** The event as the client gets it: its own text where nothing must change; undefined: not at all. */
function relayChunk(
  call: EngineCall,
  chunk: Record<string, unknown>,
  event: string,
  isUsageOnly: boolean,
): string | undefined {
  const asksUsage = call.route !== "embeddings" && call.body.stream_options?.include_usage === true;
  if (isUsageOnly && !asksUsage) return undefined;
  const isRenamed = chunk.model !== call.body.model;
  const hasSurplus = "usage" in chunk && !asksUsage;
  const isIncomplete = chunk.system_fingerprint === null;
  if (!isRenamed && !hasSurplus && !isIncomplete) return event;
  const { usage, ...rest } = chunk;
  const named = { ...rest, model: call.body.model, ...(asksUsage ? { usage: usage ?? null } : {}) };
  return JSON.stringify(isUsageOnly ? named : withRequiredKeys(named, "delta"));
}

function parseChunk(event: string): Record<string, unknown> | undefined {
  const chunk: unknown = JSON.parse(event);
  return typeof chunk === "object" && chunk !== null ? { ...chunk } : undefined;
}

function isError(chunk: Record<string, unknown>): boolean {
  return chunk.error !== undefined && chunk.error !== null;
}

function streamError(event: string): ApiError {
  const { message, type, code } = readError(event);
  return new ApiError(502, message ?? "The backend failed in mid-stream.", {
    type: type ?? "server_error",
    code: code ?? null,
  });
}

function hasFinishReason(choice: unknown): boolean {
  return (
    typeof choice === "object" &&
    choice !== null &&
    "finish_reason" in choice &&
    choice.finish_reason !== null
  );
}
