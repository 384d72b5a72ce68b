import type { Transport, TransportResponse } from "../../functions/backends/http-engine.ts";
import type { Workload } from "./process-liveness.ts";

/** `transport`, with every byte of an answer told to `workload`: that is how a hung engine is told from a busy one. */
export function watchedTransport(transport: Transport, workload: Workload): Transport {
  return async (request) => {
    // As JSON.stringify writes the field; within a string its quotes would be escaped.
    const isStream = request.body?.includes('"stream":true') === true;
    const work = workload.begin(isStream ? "stream" : "whole");
    // A body that nobody began to read ends in no other way.
    request.signal.addEventListener("abort", work.end, { once: true });
    try {
      const response = await transport(request);
      work.sign();
      return watched(response, work);
    } catch (thrown) {
      work.end();
      throw thrown;
    }
  };
}

function watched(response: TransportResponse, work: { sign(): void; end(): void }): TransportResponse {
  const { body } = response;
  async function* bytes(inner: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    try {
      for await (const piece of inner) {
        work.sign();
        yield piece;
      }
    } finally {
      work.end();
    }
  }
  return {
    status: response.status,
    headers: response.headers,
    text: () => response.text().finally(work.end),
    body: body === null ? null : bytes(body),
  };
}
