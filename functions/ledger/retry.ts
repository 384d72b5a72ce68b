import { type ApiError, unavailable } from "../../shared/openai/errors.ts";

/** Waits between the tries of an idempotent call; a Durable Object that was moved or reset is back within them. */
const WAITS_MS = [20, 200];

/**
 * Calls a Durable Object. One that was reset is asked again where asking twice is asking once, and the platform says so
 * (`retryable`); an `overloaded` one never is. What fails still is a 503 for the client, with the failure as its cause.
 */
export async function callObject<T>(call: () => Promise<T>, isIdempotent: boolean): Promise<T> {
  for (const waitMs of isIdempotent ? WAITS_MS : []) {
    try {
      return await call();
    } catch (error) {
      if (!isWorthRetrying(error)) throw toUnavailable(error);
      await new Promise((resolve) => setTimeout(resolve, waitMs));
    }
  }
  try {
    return await call();
  } catch (error) {
    throw toUnavailable(error);
  }
}

/** https://developers.cloudflare.com/durable-objects/best-practices/error-handling/ */
function isWorthRetrying(error: unknown): boolean {
  if (typeof error !== "object" || error === null) return false;
  const isRetryable = "retryable" in error && error.retryable === true;
  return isRetryable && !("overloaded" in error && error.overloaded === true);
}

function toUnavailable(error: unknown): ApiError {
  return unavailable("The ledger can't be reached. Retry in a moment.", 1000, error);
}
