import { expect, test } from "vitest";
import { readTarget, targetText } from "../../loadtest/target.ts";

test.each([
  ["http://127.0.0.1:8000", "http://127.0.0.1:8000"],
  ["http://127.0.0.1:8000/v1/", "http://127.0.0.1:8000"],
  ["https://[::1]:8443/proxy/v1", "https://[::1]:8443/proxy"],
  ["http://gateway/apiv1", "http://gateway/apiv1"],
  ["http://gateway/openai-v1/v1", "http://gateway/openai-v1"],
])("%s is the server %s", (text, server) => {
  expect(targetText(readTarget(text, {}))).toBe(server);
});

test("what is no address of a server is refused, with one that is", () => {
  expect(() => readTarget("localhost:8000", {})).toThrow(/write http:\/\/127\.0\.0\.1:8000/);
});
