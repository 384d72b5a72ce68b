import { Pool } from "undici";
import { type ChatStream, createChatStreamReader, errorText, failureAtEnd, usageOf } from "./chat-stream.ts";
import { monotonicMs } from "./clock.ts";
import type { FailureKind } from "./record.ts";

/** What is asked of the server. */
export interface Call {
  readonly method: "GET" | "POST";
  readonly path: string;
  /** In tables. */
  readonly name: string;
  readonly body: string | null;
  /** `chat` answers must hold a choice; `stream` is chat by server-sent events. */
  readonly expects: "status" | "chat" | "stream";
  readonly maxTokens: number | null;
  /** For conversations: the answer is part of the next question. */
  readonly collectsText?: boolean;
}

/** How a call went. Moments by `monotonicMs`; null when they never came. */
export interface Answer {
  readonly intendedAt: number;
  readonly dispatchedAt: number;
  readonly sentAt: number | null;
  readonly headersAt: number | null;
  readonly endAt: number;
  readonly status: number | null;
  readonly serverName: string | null;
  readonly bytes: number;
  readonly reads: number;
  readonly failure: { readonly kind: FailureKind; readonly error: string } | null;
  /** Null for answers that are no stream. */
  readonly stream: ChatStream | null;
  /** Of a chat answer that is no stream. */
  readonly whole: Pick<ChatStream, "usage" | "finish" | "text"> | null;
}

export interface ClientOptions {
  /** Scheme, host and port. */
  readonly origin: string;
  /** Before every path, such as `/proxy`. */
  readonly pathPrefix?: string;
  /** Null: as many as there are requests in flight. */
  readonly connections: number | null;
  readonly headers: Readonly<Record<string, string>>;
  /** To the headers, and between two reads of a body. */
  readonly timeoutMs: number;
}

export interface Client {
  /** Never rejects. `intendedAt` is when it should have been sent: latencies count from there. */
  send(call: Call, intendedAt: number, options?: SendOptions): Promise<Answer>;
  /** Ends what is still in flight, as `reason`; the client can't be used any more. */
  abort(reason: FailureKind): void;
  close(): Promise<void>;
}

export interface SendOptions {
  readonly onTokens?: (tokens: number, at: number) => void;
}

/** Bodies that aren't streams are read for their usage; more than this is not kept. */
const MAX_BODY_BYTES = 8 * 1024 * 1024;

/** One pool of connections to one server. Nothing is retried, and no request shares a connection. */
export function createClient(options: ClientOptions): Client {
  const { origin, pathPrefix = "", connections, headers, timeoutMs } = options;
  // HTTP/2 would put requests on one connection, and let the first wait for what the server speaks before all others.
  const connect = { timeout: timeoutMs };
  const pool = new Pool(origin, { connections, pipelining: 1, allowH2: false, connect });
  let endedAs: FailureKind | undefined;

  return {
    send(call, intendedAt, { onTokens } = {}) {
      const { promise, resolve } = Promise.withResolvers<Answer>();
      const dispatchedAt = monotonicMs();
      const reader =
        call.expects === "stream"
          ? createChatStreamReader({
              ...(onTokens === undefined ? {} : { onTokens }),
              collectsText: call.collectsText === true,
            })
          : null;
      const body: Buffer[] = [];
      let sentAt: number | null = null;
      let headersAt: number | null = null;
      let status: number | null = null;
      let serverName: string | null = null;
      let bytes = 0;
      let reads = 0;
      const isGood = () => status !== null && status >= 200 && status < 300;

      function settle(failure: Answer["failure"], whole: Answer["whole"] = null): void {
        const stream = reader?.stream ?? null;
        const ends = { endAt: monotonicMs(), status, serverName, bytes, reads, failure, stream, whole };
        resolve({ intendedAt, dispatchedAt, sentAt, headersAt, ...ends });
      }

      const handler = {
        onRequestStart() {
          sentAt = monotonicMs();
        },
        onResponseStart(_: unknown, statusCode: number, answered: Record<string, unknown>) {
          headersAt = monotonicMs();
          status = statusCode;
          serverName = typeof answered.server === "string" ? answered.server : null;
        },
        onResponseData(_: unknown, chunk: Buffer) {
          const at = monotonicMs();
          bytes += chunk.length;
          reads++;
          if (reader !== null && isGood()) reader.feed(chunk, at);
          else if (bytes <= MAX_BODY_BYTES && (call.expects !== "status" || !isGood())) body.push(chunk);
        },
        onResponseEnd() {
          if (!isGood()) settle(statusFailure(status ?? 0, body));
          else if (reader !== null) settle(failureAtEnd(reader.stream));
          else if (call.expects === "chat") settleChat();
          else settle(null);
        },
        onResponseError(_: unknown, error: Error) {
          if (endedAs !== undefined) settle({ kind: endedAs, error: error.message });
          else settle(reader?.stream.failure ?? networkFailure(error, headersAt !== null));
        },
      };

      function settleChat(): void {
        const chat = wholeChat(body);
        if (chat.failure === null) settle(null, chat.whole);
        else settle(chat.failure);
      }

      const content = call.body === null ? {} : { "content-type": "application/json" };
      pool.dispatch(
        {
          path: pathPrefix + call.path,
          method: call.method,
          body: call.body,
          headers: { ...headers, ...content },
          headersTimeout: timeoutMs,
          bodyTimeout: timeoutMs,
        },
        handler,
      );
      return promise;
    },
    abort(reason) {
      endedAs = reason;
      void pool.destroy(new Error("ended by the load tester"));
    },
    close: () => pool.destroy(),
  };
}

function statusFailure(status: number, body: readonly Buffer[]): Answer["failure"] {
  const kind = status === 429 ? "http_429" : status >= 500 ? "http_5xx" : "http_4xx";
  return { kind, error: `HTTP ${status}${messageIn(body)}` };
}

function messageIn(body: readonly Buffer[]): string {
  try {
    const value: unknown = JSON.parse(Buffer.concat(body).toString());
    const error = typeof value === "object" && value !== null ? Reflect.get(value, "error") : undefined;
    return error === undefined ? "" : `: ${errorText(error)}`;
  } catch {
    return ""; // A body that is no JSON has no message for us.
  }
}

function wholeChat(body: readonly Buffer[]): Pick<Answer, "failure" | "whole"> {
  const bad = (error: string) => ({ failure: { kind: "bad_json", error }, whole: null }) as const;
  try {
    const value: {
      usage?: unknown;
      choices?: readonly { finish_reason?: unknown; message?: { content?: unknown } }[];
    } | null = JSON.parse(Buffer.concat(body).toString());
    const choice = value?.choices?.[0];
    if (choice === undefined) return bad("the answer has no choices");
    const finish = typeof choice.finish_reason === "string" ? choice.finish_reason : null;
    const content = choice.message?.content;
    const text = typeof content === "string" ? content : "";
    return { failure: null, whole: { usage: usageOf(value?.usage), finish, text } };
  } catch {
    return bad("the answer is no JSON");
  }
}

const CLIENT_LIMITS: ReadonlySet<unknown> = new Set(["EMFILE", "ENFILE", "EADDRNOTAVAIL", "ENOBUFS"]);

function networkFailure(error: Error, hasHeaders: boolean): Answer["failure"] {
  const code = codeOf(error);
  const text = code === undefined ? error.message : `${code}: ${error.message}`;
  if (CLIENT_LIMITS.has(code)) return { kind: "client_limit", error: text };
  if (code === "UND_ERR_HEADERS_TIMEOUT") return { kind: "timeout_headers", error: text };
  if (code === "UND_ERR_BODY_TIMEOUT") return { kind: "timeout_idle", error: text };
  return { kind: hasHeaders ? "truncated" : "connect", error: text };
}

/** An attempt on several addresses fails with an error for each. */
function codeOf(error: unknown): unknown {
  if (error instanceof AggregateError && error.errors.length > 0) return codeOf(error.errors[0]);
  return error instanceof Error && "code" in error ? error.code : undefined;
}
