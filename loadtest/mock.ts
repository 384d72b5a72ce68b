import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { monotonicMs } from "./clock.ts";
import { createHistogram } from "./histogram.ts";
import { injectFault, type MockFault } from "./mock-faults.ts";
import { chunkWriter, type Script, wholeAnswer } from "./mock-wire.ts";
import type { Distribution } from "./result.ts";

export interface MockOptions {
  readonly host?: string;
  /** 0: any free one. */
  readonly port?: number;
  /** From the request's arrival to the first token, and between chunks. */
  readonly ttftMs?: number;
  readonly itlMs?: number;
  /** Of an answer; fewer where the request allows fewer. */
  readonly tokens?: number;
  readonly tokensPerChunk?: number;
  /** How many of them are reasoning. */
  readonly reasoningTokens?: number;
  readonly usage?: "continuous" | "end" | "none";
  /** All answers stand still, once, this long after the first request. */
  readonly stall?: { readonly atMs: number; readonly forMs: number };
  /** What befalls `errorRate` (0 to 1) of the chat requests, evenly spread. */
  readonly fault?: MockFault;
  readonly errorRate?: number;
}

/** What really happened, by the mock's own clock: what a client's figures are held against. */
export interface MockTruth {
  readonly requests: number;
  readonly ttft: Distribution | null;
  readonly icl: Distribution | null;
  /** To the last chunk. */
  readonly e2e: Distribution | null;
}

export interface Mock {
  readonly url: string;
  truth(): MockTruth;
  close(): Promise<void>;
}

const MOCK_MODEL = "mock";

const ROUTES: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ["/health", { status: "ok" }],
  ["/v1/models", { object: "list", data: [{ id: MOCK_MODEL, object: "model", owned_by: "mock" }] }],
  ["/v1/system/status", { status: "ok", engine: "mock" }],
]);

/**
 * A scripted upstream with the routes that profiles ask for. The content of every chunk begins with the moment of
 * its writing, so that a client on this machine knows the delay of each, also through a gateway in between.
 * `GET /mock/truth` answers a `MockTruth`.
 */
export async function startMock(options: MockOptions = {}): Promise<Mock> {
  const { host = "127.0.0.1", port = 0, stall, fault = "http_500", errorRate = 0 } = options;
  const histograms = { ttft: createHistogram(), icl: createHistogram(), e2e: createHistogram() };
  let firstAt: number | undefined;
  let requests = 0;

  function truth(): MockTruth {
    const { ttft, icl, e2e } = histograms;
    return {
      requests,
      ttft: ttft.distribution() ?? null,
      icl: icl.distribution() ?? null,
      e2e: e2e.distribution() ?? null,
    };
  }

  /** When something due at `at` happens: at the stall's end if it falls into it. */
  function gate(at: number): number {
    if (stall === undefined || firstAt === undefined) return at;
    const from = firstAt + stall.atMs;
    return at >= from && at < from + stall.forMs ? from + stall.forMs : at;
  }

  const server = createServer((request, response) => {
    const receivedAt = monotonicMs();
    firstAt ??= receivedAt;
    const { pathname } = new URL(request.url ?? "/", "http://mock");
    if (request.method === "POST" && pathname === "/v1/chat/completions") {
      const hasFault = Math.floor((requests + 1) * errorRate) > Math.floor(requests * errorRate);
      requests++;
      void chat(request, response, receivedAt, hasFault);
      return;
    }
    const body = pathname === "/mock/truth" ? truth() : ROUTES.get(pathname);
    at(gate(receivedAt), response, () => sendJson(response, body));
  });

  async function chat(
    request: IncomingMessage,
    response: ServerResponse,
    receivedAt: number,
    hasFault: boolean,
  ) {
    const body = await readBody(request);
    if (body === undefined) return sendError(response, 400, "the body is no JSON object");
    const script = scriptOf(options, body);
    if (hasFault && injectFault(fault, response)) return;
    if (hasFault && fault === "empty_stream")
      stream(response, { ...script, tokens: 0 }, receivedAt, undefined);
    else if (body.stream === true) stream(response, script, receivedAt, hasFault ? fault : undefined);
    else {
      const chunks = Math.ceil(script.tokens / script.tokensPerChunk);
      const due = receivedAt + script.ttftMs + (chunks - 1) * script.itlMs;
      at(gate(due), response, () => sendJson(response, wholeAnswer(script)));
    }
  }

  function stream(
    response: ServerResponse,
    script: Script,
    receivedAt: number,
    fault: MockFault | undefined,
  ): void {
    response.writeHead(200, { "content-type": "text/event-stream", server: "sluice-mock" });
    const writer = chunkWriter(response, script);
    writer.role();
    let previousAt: number | undefined;
    let next = 0;
    const pump = (): void => {
      while (next < writer.chunks) {
        const due = gate(receivedAt + script.ttftMs + next * script.itlMs);
        if (due > monotonicMs()) {
          at(due, response, pump);
          return;
        }
        if (next === 1 && fault !== undefined) {
          writer.fail(fault);
          return;
        }
        const writtenAt = monotonicMs();
        writer.chunk(next++, writtenAt);
        if (previousAt === undefined) histograms.ttft.record(writtenAt - receivedAt);
        else histograms.icl.record(writtenAt - previousAt);
        previousAt = writtenAt;
      }
      if (previousAt !== undefined) histograms.e2e.record(previousAt - receivedAt);
      if (fault === undefined) writer.end();
      else writer.fail(fault);
    };
    // An answer of many chunks at once is one write, not many. The socket's cork: what a response still holds back
    // goes out after its terminator when `end` is called (Node 24.21).
    const { socket } = response;
    socket?.cork();
    pump();
    socket?.uncork();
  }

  server.keepAliveTimeout = 60_000;
  await new Promise<void>((listening, failed) => {
    server.once("error", failed).listen({ port, host, backlog: 4096 }, listening);
  });
  return {
    url: `http://${host}:${portOf(server.address())}`,
    truth,
    async close() {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
}

interface ChatBody {
  readonly model?: unknown;
  readonly max_tokens?: unknown;
  readonly stream?: unknown;
  readonly stream_options?: {
    readonly include_usage?: unknown;
    readonly continuous_usage_stats?: unknown;
  } | null;
}

function scriptOf(options: MockOptions, body: ChatBody): Script {
  const { ttftMs = 0, itlMs = 0, tokens = 16, tokensPerChunk = 1, reasoningTokens = 0 } = options;
  const { usage = "continuous" } = options;
  const allowed = typeof body.max_tokens === "number" ? body.max_tokens : Number.POSITIVE_INFINITY;
  return {
    model: typeof body.model === "string" ? body.model : MOCK_MODEL,
    ttftMs,
    itlMs,
    tokens: Math.min(tokens, allowed),
    tokensPerChunk,
    reasoningTokens,
    finish: allowed < tokens ? "length" : "stop",
    hasUsage: usage !== "none" && (body.stream !== true || body.stream_options?.include_usage === true),
    hasUsageInChunks: usage === "continuous" && body.stream_options?.continuous_usage_stats === true,
  };
}

/** Calls `then` at `due`, unless the client has gone. */
function at(due: number, response: ServerResponse, then: () => void): void {
  const waitMs = due - monotonicMs();
  if (waitMs <= 0) {
    then();
    return;
  }
  const timer = setTimeout(() => {
    response.off("close", cancel);
    then();
  }, waitMs);
  const cancel = () => clearTimeout(timer);
  response.once("close", cancel);
}

async function readBody(request: IncomingMessage): Promise<ChatBody | undefined> {
  try {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part);
    const body: unknown = JSON.parse(Buffer.concat(parts).toString());
    return typeof body === "object" && body !== null ? body : undefined;
  } catch {
    return undefined; // The client went away, or sent no JSON: answered, if it still listens.
  }
}

function sendJson(response: ServerResponse, body: unknown): void {
  if (body === undefined) {
    sendError(response, 404, "no such route");
    return;
  }
  const text = JSON.stringify(body);
  response.writeHead(200, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(text),
    server: "sluice-mock",
  });
  response.end(text);
}

function sendError(response: ServerResponse, status: number, message: string): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify({ error: { message, type: "mock_error" } }));
}

function portOf(address: AddressInfo | string | null): number {
  return typeof address === "object" && address !== null ? address.port : 0;
}
