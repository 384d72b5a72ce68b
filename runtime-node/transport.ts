import { Agent, request } from "undici";
import type { Transport } from "../functions/backends/http-engine.ts";

/** An idle connection to a backend is kept this long, in ms: below the 5 s at which Node's own servers close theirs. */
const KEEP_ALIVE_MS = 4000;

/**
 * Requests by undici: several times cheaper each than the global `fetch` (`npm run bench:engine` is where to look).
 * Time limits are the caller's: it aborts the signal.
 */
export function createTransport(connectTimeoutMs: number): { transport: Transport; close(): Promise<void> } {
  const agent = new Agent({
    connect: { timeout: connectTimeoutMs },
    keepAliveTimeout: KEEP_ALIVE_MS,
    headersTimeout: 0,
    bodyTimeout: 0,
    // One connection a request in flight: a stream must never wait behind another.
    pipelining: 1,
  });
  return {
    async transport({ url, ...init }) {
      const { statusCode, headers, body } = await request(url, {
        ...init,
        dispatcher: agent,
        body: init.body ?? null,
      });
      return {
        status: statusCode,
        headers: { get: (name) => [headers[name]].flat()[0] ?? null },
        text: () => body.text(),
        body,
      };
    },
    close: () => agent.close(),
  };
}
