import { Agent } from "undici";
import type { Transport, TransportResponse } from "../functions/backends/http-engine.ts";
import { createArrival } from "./arrival.ts";

/** An idle connection to a backend is kept this long, in ms: below the 5 s at which Node's own servers close theirs. */
const KEEP_ALIVE_MS = 4000;

/**
 * Requests by undici's dispatcher: several times cheaper each than the global `fetch` (`npm run bench:engine` is where
 * to look), and what has arrived outlives the connection. Time limits are the caller's: it aborts the signal.
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
    transport({ url, method, headers, body = null, signal }) {
      const { origin, pathname, search } = new URL(url);
      const answered = Promise.withResolvers<TransportResponse>();
      const arrival = createArrival();
      const leave = () => {
        answered.reject(signal.reason);
        arrival.abort(signal.reason);
      };
      const end = (error?: unknown) => {
        answered.reject(error);
        arrival.end(error);
      };
      signal.addEventListener("abort", leave, { once: true });
      if (signal.aborted) leave();
      agent.dispatch(
        { origin, path: pathname + search, method, headers, body },
        {
          onRequestStart: (connection) => arrival.start(connection),
          onResponseStart(_, status, answeredHeaders) {
            if (status < 200) return; // Early hints, say: the answer is yet to come.
            const get = (name: string) => [answeredHeaders[name]].flat()[0] ?? null;
            answered.resolve({ status, headers: { get }, text: arrival.text, body: arrival.body });
          },
          onResponseData: (_, piece) => arrival.add(piece),
          onResponseEnd: () => end(),
          onResponseError: (_, error) => end(error),
        },
      );
      return answered.promise;
    },
    close: () => agent.close(),
  };
}
