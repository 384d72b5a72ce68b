import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as pause } from "node:timers/promises";

/** What one request does to the backend, and what the backend does then. */
export interface Fate {
  readonly promptTokens: number;
  readonly tokens: number;
  /** Between two tokens, in ms. */
  readonly gapMs: number;
  /** Breaks the connection after so many tokens; refuses with 500 where it is 0. */
  readonly diesAfter: number | undefined;
}

/** What the backend knows of a request: it is the truth that a bill is held against. */
export interface Produced {
  readonly fate: Fate;
  /** Tokens it has sent, with their running usage. */
  tokens: number;
  /** How often it was asked. */
  asked: number;
}

export interface CountingUpstream {
  readonly url: string;
  /** By the `user` of the request. */
  readonly produced: ReadonlyMap<string, Produced>;
  close(): Promise<void>;
}

/** A backend that tells its usage with every token, as vLLM does when asked to, and keeps its own count. */
export async function startCountingUpstream(fateOf: (user: string) => Fate): Promise<CountingUpstream> {
  const produced = new Map<string, Produced>();
  const server = createServer(async (incoming, response) => {
    let text = "";
    for await (const piece of incoming) text += piece;
    const { user }: { user: string } = JSON.parse(text);
    const fate = fateOf(user);
    const count = produced.get(user) ?? { fate, tokens: 0, asked: 0 };
    count.asked++;
    produced.set(user, count);
    await answer(response, fate, count);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    produced,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function answer(response: ServerResponse, fate: Fate, count: Produced): Promise<void> {
  if (fate.diesAfter === 0) return void response.writeHead(500).end("{}");
  response.writeHead(200, { "content-type": "text/event-stream" });
  for (let token = 1; token <= fate.tokens; token++) {
    await pause(fate.gapMs);
    if (response.destroyed) return;
    count.tokens = token;
    await send(response, chunk({ content: `${token} ` }, null, fate, token));
    // Ending the socket half-closed sends what is written before the connection breaks off.
    if (token === fate.diesAfter) return response.socket?.destroySoon();
  }
  await send(response, chunk({}, "stop", fate, fate.tokens));
  response.end("data: [DONE]\n\n");
}

function send(response: ServerResponse, event: unknown): Promise<void> {
  return new Promise((resolve) => response.write(`data: ${JSON.stringify(event)}\n\n`, () => resolve()));
}

function chunk(delta: object, finish: string | null, { promptTokens }: Fate, completionTokens: number) {
  return {
    id: "c",
    object: "chat.completion.chunk",
    created: 1,
    model: "counted",
    choices: [{ index: 0, delta, finish_reason: finish }],
    usage: {
      prompt_tokens: promptTokens,
      completion_tokens: completionTokens,
      total_tokens: promptTokens + completionTokens,
    },
  };
}
