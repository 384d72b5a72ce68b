import type { Engine, EngineCall, EngineModel, EngineState } from "../../shared/engine.ts";
import {
  ApiError,
  badGateway,
  gatewayTimeout,
  invalidRequest,
  unavailable,
} from "../../shared/openai/errors.ts";
import { estimateTokens, NO_USAGE, readUsage, type UsageReading } from "../../shared/openai/usage.ts";
import type { Dialect, Wire } from "./dialect.ts";
import { relayAnswer, relayStream } from "./relay.ts";
import { upstreamError } from "./upstream-error.ts";

/** How this host sends a request: `fetch` at the edge, undici on the box. */
export type Transport = (request: TransportRequest) => Promise<TransportResponse>;

export interface TransportRequest {
  readonly method: "GET" | "POST";
  readonly url: string;
  readonly headers: Record<string, string>;
  readonly body?: string;
  readonly signal: AbortSignal;
}

/** A fetch `Response` is one. Its body has one reader; leaving the iteration closes the connection. */
export interface TransportResponse {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  text(): Promise<string>;
  readonly body: AsyncIterable<Uint8Array> | null;
}

export interface HttpEngineOptions {
  readonly id: string;
  /** Base URL, with the `/v1`. */
  readonly url: string;
  readonly apiKey: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
  /** Names on the backend; `any`: whatever it lists. */
  readonly models: readonly string[] | "any";
  /** From the request sent to its headers, and from these to the end of an answer that is no stream, in ms. */
  readonly headersTimeoutMs: number;
  /** Between two pieces of a stream, in ms. */
  readonly idleTimeoutMs: number;
  readonly transport: Transport;
  /** Where the backend differs from OpenAI; nowhere when left out. */
  readonly dialect?: Dialect;
}

const PATHS = { chat: "/chat/completions", completions: "/completions", embeddings: "/embeddings" } as const;
/** A backend that can't list its models in this time is left out of the list. */
const LIST_TIMEOUT_MS = 5000;

/** An engine that reaches any OpenAI-compatible backend over HTTP. */
export function createHttpEngine(options: HttpEngineOptions): Engine {
  const base = options.url.replace(/\/+$/, "");
  const { dialect = {} } = options;
  /** One a call in flight: aborting it closes its connection. */
  const open = new Set<AbortController>();
  const closed = Promise.resolve();
  let isClosed = false;
  let health: { state: EngineState; reason?: string } = { state: "ready" };

  function headersOf(requestId?: string): Record<string, string> {
    return {
      accept: "application/json, text/event-stream",
      ...(options.apiKey === undefined ? {} : { authorization: `Bearer ${options.apiKey}` }),
      ...(requestId === undefined ? {} : { "x-request-id": requestId }),
      ...options.headers,
    };
  }

  /** What `work`, which `abort` ends, comes to within the limit. */
  async function within<T>(
    work: Promise<T>,
    timeoutMs: number,
    abort: AbortController,
    what: string,
  ): Promise<T> {
    const late = setTimeout(
      () =>
        abort.abort(gatewayTimeout(`The backend \`${options.id}\` did not ${what} within ${timeoutMs} ms.`)),
      timeoutMs,
    );
    try {
      return await work;
    } finally {
      clearTimeout(late);
    }
  }

  /** Sends it and answers at the headers, within the limit. Rejects with an `ApiError`, or with the caller's reason. */
  async function send(
    request: TransportRequest,
    timeoutMs: number,
    abort: AbortController,
  ): Promise<TransportResponse> {
    try {
      const response = await within(options.transport(request), timeoutMs, abort, "answer");
      health = { state: "ready" };
      return response;
    } catch (thrown) {
      if (request.signal.aborted) throw request.signal.reason;
      health = { state: "failed", reason: "The backend can't be reached." };
      throw badGateway(`The backend \`${options.id}\` can't be reached.`, thrown);
    }
  }

  /** Some backends write the key that they refuse into their error, which goes into logs and to clients. */
  function withoutKey(text: string): string {
    return options.apiKey === undefined ? text : text.replaceAll(options.apiKey, "***");
  }

  function closedError(): ApiError {
    return unavailable(`The backend \`${options.id}\` is no longer used: the server is closing.`, 1000);
  }

  async function respond(call: EngineCall): Promise<Response> {
    const isStream = call.route !== "embeddings" && call.body.stream === true;
    if (isClosed) throw closedError();
    call.signal.throwIfAborted();
    const abort = new AbortController();
    const signal = AbortSignal.any([call.signal, abort.signal]);
    open.add(abort);
    const end = () => void open.delete(abort);
    let isRelaying = false;
    try {
      const body = forwarded(call, isStream, dialect);
      const headers = { ...headersOf(call.requestId), "content-type": "application/json" };
      const url = `${base}${PATHS[call.route]}`;
      const upstream = await send(
        { method: "POST", url, headers, body, signal },
        options.headersTimeoutMs,
        abort,
      );
      const text = () => within(upstream.text(), options.headersTimeoutMs, abort, "finish its answer");
      if (upstream.status >= 300) {
        const { status, headers } = upstream;
        const said = withoutKey(await text());
        throw dialect.error?.(call, status, said) ?? upstreamError(options.id, status, headers, said);
      }
      if (!isStream) {
        const heard = parseAnswer(options.id, await text());
        const answer = dialect.answer?.(call, heard) ?? heard;
        const reading = readingOf(answer, body.length);
        call.report.read = () => reading;
        return Response.json(relayAnswer(call, answer));
      }
      if (upstream.body === null) throw badGateway(`The backend \`${options.id}\` answered without a body.`);
      isRelaying = true;
      return relayStream(call, upstream.body, {
        backend: options.id,
        abort,
        idleTimeoutMs: options.idleTimeoutMs,
        requestBytes: body.length,
        withoutKey,
        hear: dialect.chunks?.(call),
        onEnd: end,
      });
    } catch (thrown) {
      if (thrown instanceof ApiError || call.signal.aborted) throw thrown;
      if (abort.signal.aborted) throw abort.signal.reason;
      throw badGateway(`The backend \`${options.id}\` closed the connection.`, thrown);
    } finally {
      if (!isRelaying) end();
    }
  }

  return {
    id: options.id,
    initialize: async () => {},
    loadModel: async () => {},
    isModelLoaded: (model) => !isClosed && (options.models === "any" || options.models.includes(model)),
    models: async (signal) => {
      if (options.models !== "any")
        return options.models.map((id) => ({ id, created: 0, ownedBy: options.id }));
      const abort = new AbortController();
      const request = {
        method: "GET" as const,
        url: `${base}/models`,
        headers: headersOf(),
        signal: AbortSignal.any([signal, abort.signal]),
      };
      const upstream = await send(request, LIST_TIMEOUT_MS, abort);
      const text = await within(upstream.text(), LIST_TIMEOUT_MS, abort, "list its models");
      if (upstream.status >= 400) throw upstreamError(options.id, upstream.status, upstream.headers, text);
      return readModels(parseAnswer(options.id, text), options.id);
    },
    respond,
    status: () => ({
      ...(isClosed ? { state: "stopped" as const } : health),
      active: open.size,
      queued: 0,
      details: { models: options.models === "any" ? "any" : options.models.length },
    }),
    close: () => {
      isClosed = true;
      for (const abort of open) abort.abort(closedError());
      return closed;
    },
  };
}

/** The body under the backend's own model name; of a stream the usage is asked for, since it is billed by it. */
function forwarded(call: EngineCall, isStream: boolean, dialect: Dialect): string {
  const named = { ...call.body, model: call.model };
  const asked: Wire =
    isStream && call.route !== "embeddings"
      ? { ...named, stream_options: { ...call.body.stream_options, include_usage: true } }
      : named;
  const body = dialect.request?.(call, asked) ?? asked;
  try {
    return JSON.stringify(body);
  } catch (cause) {
    // JSON.parse reads deeper than JSON.stringify writes: the client's fault, not the backend's.
    throw Object.assign(invalidRequest("The request body is nested too deeply."), { cause });
  }
}

function parseAnswer(backend: string, text: string): Record<string, unknown> {
  try {
    const answer: unknown = JSON.parse(text);
    if (typeof answer === "object" && answer !== null && !Array.isArray(answer)) return { ...answer };
  } catch (cause) {
    throw badGateway(`The backend \`${backend}\` answered with something that is not JSON.`, cause);
  }
  throw badGateway(`The backend \`${backend}\` answered with something that is not an object.`);
}

/** The answer's own usage, or an estimate: missing never means zero. */
function readingOf(answer: Wire, requestBytes: number): UsageReading {
  const usage = readUsage(answer);
  if (usage !== undefined) return { usage, source: "engine" };
  const choices: readonly unknown[] = Array.isArray(answer.choices) ? answer.choices : [];
  const bytes = choices.reduce<number>((sum, choice) => sum + writtenBytes(choice), 0);
  const counted = { promptTokens: estimateTokens(requestBytes), completionTokens: estimateTokens(bytes) };
  return { usage: { ...NO_USAGE, ...counted }, source: "estimated" };
}

function writtenBytes(choice: unknown): number {
  const { text, message }: { text?: unknown; message?: unknown } = Object(choice);
  const { role: _, ...parts }: Record<string, unknown> = Object(message);
  return [text, ...Object.values(parts)]
    .map((part) => (typeof part === "string" ? part : Array.isArray(part) ? JSON.stringify(part) : ""))
    .reduce((sum, part) => sum + part.length, 0);
}

function readModels(answer: Record<string, unknown>, ownedBy: string): readonly EngineModel[] {
  const entries: readonly unknown[] = Array.isArray(answer.data) ? answer.data : [];
  return entries.flatMap((entry) => {
    if (typeof entry !== "object" || entry === null || !("id" in entry) || typeof entry.id !== "string")
      return [];
    const created = "created" in entry && typeof entry.created === "number" ? entry.created : 0;
    const size =
      "max_model_len" in entry && typeof entry.max_model_len === "number"
        ? { contextSize: entry.max_model_len }
        : {};
    return [{ id: entry.id, created, ownedBy, ...size }];
  });
}
