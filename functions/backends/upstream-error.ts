import { ApiError } from "../../shared/openai/errors.ts";

/** What engines say in their own words when a prompt is too long; agents look for OpenAI's code (vllm#37011, llama.cpp#15780). */
const CONTEXT_OVERFLOW = /maximum (context|model) length|context (size|length|window)|exceed_context_size/i;

/**
 * A backend's refusal as our client should see it: what is about the request passes with its message; what is about
 * the backend (its keys, its faults) is told without details.
 */
export function upstreamError(
  backend: string,
  status: number,
  headers: { get(name: string): string | null },
  text: string,
): ApiError {
  const { message, type, param, code } = readError(text);
  if (status === 401 || status === 403) {
    return new ApiError(502, `The backend \`${backend}\` refused the key it is configured with.`, {
      cause: new Error(`status ${status}`),
    });
  }
  if (status >= 500 || status < 400) {
    const ours = status === 503 || status === 504 ? status : 502;
    return new ApiError(ours, `The backend \`${backend}\` failed with status ${status}.`, {
      cause: new Error(message ?? text.slice(0, 500)),
      ...retryHints(headers),
    });
  }
  const isOverflow = status === 400 && CONTEXT_OVERFLOW.test([code, type, message].join(" "));
  return new ApiError(
    status === 422 ? 400 : status,
    message ?? `The backend \`${backend}\` refused the request.`,
    {
      type: type ?? "invalid_request_error",
      param: param ?? null,
      code: isOverflow ? "context_length_exceeded" : (code ?? null),
      ...retryHints(headers),
    },
  );
}

interface ErrorFields {
  readonly message?: string;
  readonly type?: string;
  readonly param?: string;
  readonly code?: string;
}

/** OpenAI's `{error: {…}}`, MLX's `{error: "text"}`, the flat form of old vLLM, FastAPI's `{detail}`; a numeric code is dropped. */
export function readError(text: string): ErrorFields {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    return {}; // An HTML page of a proxy, say: nothing in it is for the client.
  }
  const error = property(body, "error") ?? body;
  if (typeof error === "string") return { message: error };
  const message = stringOf(property(error, "message")) ?? stringOf(property(error, "detail"));
  const type = stringOf(property(error, "type"));
  const param = stringOf(property(error, "param"));
  const code = stringOf(property(error, "code"));
  return {
    ...(message === undefined ? {} : { message }),
    ...(type === undefined ? {} : { type }),
    ...(param === undefined ? {} : { param }),
    ...(code === undefined ? {} : { code }),
  };
}

function property(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, key) : undefined;
}

function stringOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** When to come back, and whether: an exhausted budget must not be tried three times. */
function retryHints(headers: { get(name: string): string | null }): {
  retryAfterMs?: number;
  shouldRetry?: boolean;
} {
  const ms = Number(headers.get("retry-after-ms") ?? Number.NaN);
  const seconds = Number(headers.get("retry-after") ?? Number.NaN);
  const shouldRetry = headers.get("x-should-retry");
  return {
    ...(Number.isFinite(ms) ? { retryAfterMs: ms } : {}),
    ...(!Number.isFinite(ms) && Number.isFinite(seconds) ? { retryAfterMs: seconds * 1000 } : {}),
    ...(shouldRetry === "true" || shouldRetry === "false" ? { shouldRetry: shouldRetry === "true" } : {}),
  };
}
