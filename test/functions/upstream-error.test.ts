import { describe, expect, it } from "vitest";
import { upstreamError } from "../../functions/backends/upstream-error.ts";
import { errorBody } from "../../shared/openai/errors.ts";
import { expectSchema } from "../harness/oracle.ts";

const OVERFLOW = "context_length_exceeded";
const read = (status: number, text: unknown, headers: Record<string, string> = {}) =>
  upstreamError("gpu", status, new Headers(headers), typeof text === "string" ? text : JSON.stringify(text));

describe("what a backend says of a request passes, in OpenAI's form", () => {
  const openai = (error: unknown) => ({ error });
  it.each([
    [
      "OpenAI's own",
      400,
      openai({ message: "bad n", type: "invalid_request_error", param: "n", code: "invalid_value" }),
      { status: 400, message: "bad n", type: "invalid_request_error", param: "n", code: "invalid_value" },
    ],
    [
      "vLLM's, whose code is a number",
      400,
      openai({ message: "bad", type: "BadRequestError", param: null, code: 400 }),
      { status: 400, message: "bad", type: "BadRequestError", param: null, code: null },
    ],
    [
      "old vLLM's, which is flat",
      400,
      { object: "error", message: "bad", code: 400 },
      { status: 400, message: "bad" },
    ],
    ["MLX's, which is a text", 404, { error: "no such model" }, { status: 404, message: "no such model" }],
    ["FastAPI's detail", 422, { detail: "bad body" }, { status: 400, message: "bad body" }],
    [
      "FastAPI's list of details",
      422,
      { detail: [{ loc: ["body", "n"], msg: "value is not a valid integer", type: "type_error" }] },
      { status: 400, message: "The backend `gpu` refused the request.", type: "invalid_request_error" },
    ],
    [
      "a proxy's HTML page",
      413,
      "<html>nginx</html>",
      {
        status: 413,
        message: "The backend `gpu` refused the request.",
        type: "invalid_request_error",
        code: null,
      },
    ],
    ["nothing", 400, "", { status: 400, message: "The backend `gpu` refused the request." }],
    [
      "a rate limit",
      429,
      openai({ message: "slow down", type: "requests", code: "rate_limit_exceeded" }),
      { status: 429, type: "requests", code: "rate_limit_exceeded" },
    ],
  ])("%s", (_, status, text, expected) => {
    const error = read(status, text);
    expect(error).toMatchObject(expected);
    expectSchema("ErrorResponse", errorBody(error));
  });
});

describe("a context overflow is recognised whatever the engine calls it", () => {
  it.each([
    [
      "vLLM",
      {
        message: "This model's maximum context length is 100 tokens. However, you requested 120 tokens",
        code: 400,
      },
    ],
    [
      "vLLM, newer",
      {
        message: "The decoder prompt (length 120) is longer than the maximum model length of 100.",
        code: 400,
      },
    ],
    [
      "llama-server",
      {
        message: "the request exceeds the available context size, try increasing it",
        type: "exceed_context_size_error",
        code: 400,
      },
    ],
    [
      "llama-server, by its type alone",
      { message: "request too large", type: "exceed_context_size_error", code: 400 },
    ],
    ["OpenAI", { message: "too long", code: OVERFLOW }],
  ])("%s", (_, error) => {
    expect(read(400, { error })).toMatchObject({ status: 400, code: OVERFLOW, message: error.message });
  });

  it("and nothing else is taken for one", () => {
    expect(read(400, { error: { message: "context must be a list" } }).code).toBeNull();
    expect(read(500, { error: { message: "maximum context length" } }).code).toBeNull();
  });
});

describe("what is about the backend is told without details", () => {
  it.each([
    [302, 502],
    [401, 502],
    [403, 502],
    [500, 502],
    [502, 502],
    [503, 503],
    [504, 504],
    [529, 502],
  ])("its %i is our %i", (status, ours) => {
    const error = read(status, { error: { message: "Incorrect API key sk-secret at /srv/app.py" } });
    expect(error).toMatchObject({ status: ours, type: "server_error", code: null, param: null });
    expect(error.message).toMatch(/^The backend `gpu` /);
    expect(error.message).not.toMatch(/sk-secret|srv/);
  });

  it("but keeps the cause for the log", () => {
    expect(read(500, { error: { message: "CUDA out of memory" } }).cause).toMatchObject({
      message: "CUDA out of memory",
    });
  });
});

it.each([
  [{ "retry-after": "3" }, 3000],
  [{ "retry-after-ms": "250", "retry-after": "3" }, 250],
  [{ "retry-after": "Wed, 21 Oct 2026 07:28:00 GMT" }, undefined],
  [{}, undefined],
])("a time to retry passes: %j", (headers: Record<string, string>, expected) => {
  expect(read(429, {}, headers).retryAfterMs).toBe(expected);
  expect(read(503, {}, headers).retryAfterMs).toBe(expected);
});
