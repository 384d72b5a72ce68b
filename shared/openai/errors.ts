/** Everything a client may see of a failure. No error body is built anywhere else. */

/** The four keys of OpenAI's error object; `code` is a string or null, never a number. */
export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string | null;
  };
}

export interface ApiErrorOptions {
  readonly type?: string;
  readonly code?: string | null;
  readonly param?: string | null;
  /** When the client may try again, in milliseconds; sent as `retry-after` and `retry-after-ms`. */
  readonly retryAfterMs?: number;
  /** Overrides what SDKs would do by themselves; sent as `x-should-retry`. */
  readonly shouldRetry?: boolean;
  readonly headers?: Readonly<Record<string, string>>;
  readonly cause?: unknown;
}

/** A failure whose message is meant for the client. Anything else that is thrown is a bug: 500, details only in the log. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: number;
  readonly type: string;
  readonly code: string | null;
  readonly param: string | null;
  readonly retryAfterMs: number | undefined;
  readonly shouldRetry: boolean | undefined;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, message: string, options: ApiErrorOptions = {}) {
    super(message, { cause: options.cause });
    this.status = status;
    this.type = options.type ?? (status >= 500 ? "server_error" : "invalid_request_error");
    this.code = options.code ?? null;
    this.param = options.param ?? null;
    this.retryAfterMs = options.retryAfterMs;
    this.shouldRetry = options.shouldRetry;
    this.headers = options.headers ?? {};
  }
}

export function errorBody(error: ApiError): ErrorBody {
  return { error: { message: error.message, type: error.type, param: error.param, code: error.code } };
}

/** Headers that tell an SDK whether and when to retry. */
export function errorHeaders(error: ApiError): Record<string, string> {
  const headers: Record<string, string> = { ...error.headers };
  if (error.retryAfterMs !== undefined) {
    headers["retry-after"] = String(Math.max(1, Math.ceil(error.retryAfterMs / 1000)));
    headers["retry-after-ms"] = String(Math.ceil(error.retryAfterMs));
  }
  if (error.shouldRetry !== undefined) headers["x-should-retry"] = String(error.shouldRetry);
  return headers;
}

export function errorResponse(error: ApiError): Response {
  return Response.json(errorBody(error), { status: error.status, headers: errorHeaders(error) });
}

/** An unexpected throw as the client sees it: no message, stack, path or key of ours. */
export function internalError(cause: unknown): ApiError {
  return new ApiError(
    500,
    "Something went wrong on our side. Retry, or report the x-request-id of this answer.",
    {
      cause,
    },
  );
}

/** `thrown` when it was meant for the client, else a 500 that hides it. */
export function toApiError(thrown: unknown): ApiError {
  return thrown instanceof ApiError ? thrown : internalError(thrown);
}

export function invalidRequest(
  message: string,
  param: string | null = null,
  code: string | null = null,
): ApiError {
  return new ApiError(400, message, { param, code });
}

/** A parameter which OpenAI has and this model, engine or version has not: a clear 400, never a wrong answer. */
export function unsupported(param: string, message: string): ApiError {
  return new ApiError(400, message, { param, code: "unsupported_parameter" });
}

export function modelNotFound(model: string, known: readonly string[]): ApiError {
  const list = known.length > 0 ? ` Models here: ${known.slice(0, 20).join(", ")}.` : "";
  return new ApiError(404, `The model \`${model}\` does not exist.${list}`, {
    code: "model_not_found",
    param: "model",
  });
}

/** As OpenAI answers a project that may not use a model: 403 with the code of an unknown one. */
export function modelNotAllowed(model: string): ApiError {
  return new ApiError(403, `Your API key does not have access to the model \`${model}\`.`, {
    code: "model_not_found",
  });
}

export interface ContextOverflow {
  readonly contextSize: number;
  readonly promptTokens: number;
  /** What the client asked to generate, if it asked. */
  readonly maxTokens?: number;
  /** The field that held the prompt: `messages`, `prompt` or `input`. */
  readonly param: string;
}

/** OpenAI's own wording: LangChain and agents search the message and the code for it (reference: vllm#37011, pi#5930). */
export function contextLengthExceeded(overflow: ContextOverflow): ApiError {
  const { contextSize, promptTokens, maxTokens, param } = overflow;
  const asked =
    maxTokens === undefined
      ? `your ${param} resulted in ${promptTokens} tokens`
      : `you requested ${promptTokens + maxTokens} tokens (${promptTokens} in the ${param}, ${maxTokens} in the completion)`;
  return new ApiError(
    400,
    `This model's maximum context length is ${contextSize} tokens. However, ${asked}. Please reduce the length of the ${param}${maxTokens === undefined ? "" : " or completion"}.`,
    { code: "context_length_exceeded", param },
  );
}

/** More work than fits: the client should come back. */
export function overloaded(message: string, retryAfterMs: number): ApiError {
  return new ApiError(429, message, { type: "requests", code: "rate_limit_exceeded", retryAfterMs });
}

/** Not able to serve now (loading, draining, a backend that is down). */
export function unavailable(message: string, retryAfterMs: number, cause?: unknown): ApiError {
  return new ApiError(503, message, { code: "server_is_overloaded", retryAfterMs, cause });
}

export function badGateway(message: string, cause?: unknown): ApiError {
  return new ApiError(502, message, { cause });
}

export function gatewayTimeout(message: string): ApiError {
  return new ApiError(504, message, { code: "timeout" });
}
