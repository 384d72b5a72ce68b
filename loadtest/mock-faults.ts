import type { ServerResponse } from "node:http";

/** What can befall a chat request of the mock; those of a stream come after its first token. */
export const MOCK_FAULTS = [
  "http_400",
  "http_429",
  "http_500",
  "reset",
  "hang_headers",
  "hang_stream",
  "stream_error",
  "truncated",
  "cut",
  "empty_stream",
  "bad_json",
] as const;
export type MockFault = (typeof MOCK_FAULTS)[number];

/** Does to the response what is done before its headers; false when the fault comes later. */
export function injectFault(fault: MockFault, response: ServerResponse): boolean {
  switch (fault) {
    case "http_400":
    case "http_429":
    case "http_500": {
      const status = Number(fault.slice("http_".length));
      response.writeHead(status, { "content-type": "application/json" });
      response.end(JSON.stringify({ error: { message: `a scripted ${status}`, type: "mock_error" } }));
      return true;
    }
    case "reset":
      response.destroy();
      return true;
    case "hang_headers":
      return true;
    case "hang_stream":
    case "stream_error":
    case "truncated":
    case "cut":
    case "empty_stream":
    case "bad_json":
      return false;
    default:
      return fault satisfies never;
  }
}
