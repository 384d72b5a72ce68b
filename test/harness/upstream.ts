import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Json } from "./wire.ts";

export interface UpstreamRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: Json;
  /** Resolves when the connection of this request is gone or its answer was sent. */
  readonly closed: Promise<unknown>;
}

export type Script = (response: ServerResponse, request: UpstreamRequest) => void | Promise<void>;

export interface Upstream {
  readonly url: string;
  readonly requests: UpstreamRequest[];
  /** What it does from now on. */
  play(script: Script): void;
  /** Resolves with the next request, once it was read. */
  next(): Promise<UpstreamRequest>;
  close(): Promise<void>;
}

/** A backend on loopback that does what its script says. */
export async function startUpstream(first: Script = answerJson(500, {})): Promise<Upstream> {
  let script = first;
  let waiting: ((request: UpstreamRequest) => void)[] = [];
  const requests: UpstreamRequest[] = [];
  const server: Server = createServer(async (incoming, response) => {
    const closed = once(response, "close");
    let text = "";
    for await (const piece of incoming) text += piece;
    const { method = "", url = "", headers } = incoming;
    const request = { method, path: url, headers, body: text === "" ? undefined : JSON.parse(text), closed };
    requests.push(request);
    for (const tell of waiting) tell(request);
    waiting = [];
    await script(response, request);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    requests,
    play: (next) => {
      script = next;
    },
    next: () => new Promise((resolve) => waiting.push(resolve)),
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export function answerJson(status: number, body: unknown, headers: Record<string, string> = {}): Script {
  return answerText(status, JSON.stringify(body), { "content-type": "application/json", ...headers });
}

export function answerText(status: number, text: string, headers: Record<string, string> = {}): Script {
  return (response) => void response.writeHead(status, headers).end(text);
}

/** Streams `events` (objects as JSON, strings as they are), then ends as told. */
export function answerStream(events: readonly unknown[], then: "end" | "destroy" | "hang" = "end"): Script {
  return async (response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (const event of events) {
      const text = typeof event === "string" ? event : JSON.stringify(event);
      // Flushed, so that a socket destroyed next has sent it.
      await new Promise((resolve) => response.write(`data: ${text}\n\n`, resolve));
    }
    if (then === "end") response.end();
    // The bytes are with the kernel; ending it half-closed sends them before the connection breaks off.
    if (then === "destroy") response.socket?.destroySoon();
  };
}

/** A chunk of a backend's chat stream. */
export function chunkOf(delta: unknown, finish: string | null = null, more: Record<string, unknown> = {}) {
  return {
    id: "chatcmpl-1",
    object: "chat.completion.chunk",
    created: 1,
    model: "backend-model",
    choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }],
    ...more,
  };
}

/** A backend's whole chat answer. */
export function answerOf(text: string, more: Record<string, unknown> = {}) {
  return {
    id: "chatcmpl-1",
    object: "chat.completion",
    created: 1,
    model: "backend-model",
    choices: [
      {
        index: 0,
        message: { role: "assistant", content: text, refusal: null },
        logprobs: null,
        finish_reason: "stop",
      },
    ],
    usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 },
    ...more,
  };
}
