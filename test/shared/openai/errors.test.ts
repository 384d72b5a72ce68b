import { describe, expect, it } from "vitest";
import {
  ApiError,
  badGateway,
  contextLengthExceeded,
  errorBody,
  errorHeaders,
  errorResponse,
  gatewayTimeout,
  internalError,
  invalidRequest,
  modelNotFound,
  overloaded,
  toApiError,
  unavailable,
  unsupported,
} from "../../../shared/openai/errors.ts";
import { expectSchema } from "../../harness/oracle.ts";

describe("every error has its status, type and code", () => {
  it.each<[ApiError, number, string, string | null, string | null]>([
    [invalidRequest("m", "n", "invalid_value"), 400, "invalid_request_error", "invalid_value", "n"],
    [invalidRequest("m"), 400, "invalid_request_error", null, null],
    [unsupported("echo", "m"), 400, "invalid_request_error", "unsupported_parameter", "echo"],
    [modelNotFound("x", ["a"]), 404, "invalid_request_error", "model_not_found", "model"],
    [overloaded("m", 1), 429, "requests", "rate_limit_exceeded", null],
    [unavailable("m", 1), 503, "server_error", "server_is_overloaded", null],
    [badGateway("m"), 502, "server_error", null, null],
    [gatewayTimeout("m"), 504, "server_error", "timeout", null],
    [internalError(new Error("x")), 500, "server_error", null, null],
  ])("%s", async (error, status, type, code, param) => {
    const response = errorResponse(error);
    expect(response.status).toBe(status);
    const body = await response.json();
    expect(body).toEqual({ error: { message: error.message, type, param, code } });
    expectSchema("ErrorResponse", body);
  });
});

describe("headers tell an SDK when to come back", () => {
  const headersFor = (retryAfterMs: number) => errorHeaders(unavailable("m", retryAfterMs));
  it.each([
    [1, "1", "1"],
    [1000, "1", "1000"],
    [1001, "2", "1001"],
    [2500.4, "3", "2501"],
  ])("%d ms: whole seconds, rounded up, and ms", (ms, seconds, exact) => {
    expect(headersFor(ms)).toEqual({ "retry-after": seconds, "retry-after-ms": exact });
  });

  it("and whether, where the answer is not the usual one", () => {
    expect(errorHeaders(new ApiError(429, "m", { shouldRetry: false }))).toEqual({
      "x-should-retry": "false",
    });
    expect(errorHeaders(new ApiError(400, "m"))).toEqual({});
  });
});

describe("a context overflow has OpenAI's words, which agents search for", () => {
  it("for a prompt alone", () => {
    const error = contextLengthExceeded({ contextSize: 100, promptTokens: 120, param: "messages" });
    expect(errorBody(error).error).toEqual({
      message:
        "This model's maximum context length is 100 tokens. However, your messages resulted in 120 tokens. Please reduce the length of the messages.",
      type: "invalid_request_error",
      param: "messages",
      code: "context_length_exceeded",
    });
  });

  it("for prompt and completion", () => {
    const { message } = contextLengthExceeded({
      contextSize: 100,
      promptTokens: 60,
      maxTokens: 50,
      param: "prompt",
    });
    expect(message).toBe(
      "This model's maximum context length is 100 tokens. However, you requested 110 tokens (60 in the prompt, 50 in the completion). Please reduce the length of the prompt or completion.",
    );
  });
});

describe("what was not meant for the client", () => {
  it("is hidden, and kept as the cause", () => {
    const bug = new Error("sk-secret");
    const error = toApiError(bug);
    expect(JSON.stringify(errorBody(error))).not.toContain("sk-secret");
    expect(error).toMatchObject({ status: 500, cause: bug });
  });

  it("is told apart from what was", () => {
    const error = invalidRequest("m");
    expect(toApiError(error)).toBe(error);
  });
});

it("an unknown model names the first twenty that are known", () => {
  const known = Array.from({ length: 30 }, (_, i) => `m${i}.`);
  const { message } = modelNotFound("x", known);
  expect(message).toContain("m19.");
  expect(message).not.toContain("m20.");
});
