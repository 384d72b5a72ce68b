import type { HoldResult, LimitState } from "../shared/ledger.ts";
import { ApiError } from "../shared/openai/errors.ts";
import { alreadyBilled, stillRunning } from "./idempotency.ts";

/** The ledger's refusal (or the hold of a request that runs already) as OpenAI would have put it. */
export function refusal(result: HoldResult): ApiError {
  if (result.ok) return stillRunning();
  switch (result.reason) {
    case "duplicate":
      return alreadyBilled(result.receipt.requestId);
    case "insufficient_quota":
      return new ApiError(429, quotaMessage(result.scope), {
        type: "insufficient_quota",
        code: "insufficient_quota",
        shouldRetry: false,
      });
    case "rate_limited":
      return rateLimited(result);
    default:
      return result satisfies never;
  }
}

function quotaMessage(scope: string | null): string {
  const short = scope === null ? "The account's balance" : `The budget of ${nameOf(scope)}`;
  return `You exceeded your current quota. ${short} does not cover the most this request can cost. Lower \`max_tokens\`, or add credit.`;
}

function rateLimited(refused: Extract<HoldResult, { reason: "rate_limited" }>): ApiError {
  const { scope, resource, limit, retryAfterMs } = refused;
  const headers = rateHeaders(refused.limits);
  const [what, type] = {
    requests: ["requests per minute", "requests"],
    tokens: ["tokens per minute", "tokens"],
    concurrent: ["requests at the same time", "requests"],
  }[resource] as [string, string]; // A literal's entries have just these two.
  const head = `Rate limit reached for ${nameOf(scope)} on ${what}: limit ${limit}.`;
  if (retryAfterMs === null) {
    const message = `${head} This request asks for more than that at once. Lower \`max_tokens\`, or shorten the prompt.`;
    return new ApiError(429, message, { type, code: "rate_limit_exceeded", shouldRetry: false, headers });
  }
  const message = `${head} Please try again in ${(retryAfterMs / 1000).toFixed(3)}s.`;
  return new ApiError(429, message, { type, code: "rate_limit_exceeded", retryAfterMs, headers });
}

/** `key:web/model:small` -> `key web, model small`. */
function nameOf(scope: string): string {
  return scope.replaceAll("/", ", ").replaceAll(":", " ");
}

/** OpenAI's `x-ratelimit-*`: of each resource the scope that leaves the least. */
export function rateHeaders(limits: readonly LimitState[]): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const resource of ["requests", "tokens"] as const) {
    const [tightest] = limits
      .filter((state) => state.resource === resource)
      .sort((a, b) => a.remaining - b.remaining);
    if (tightest === undefined) continue;
    headers[`x-ratelimit-limit-${resource}`] = String(tightest.limit);
    headers[`x-ratelimit-remaining-${resource}`] = String(tightest.remaining);
    headers[`x-ratelimit-reset-${resource}`] = duration(tightest.resetMs);
  }
  return headers;
}

/** As OpenAI writes it: `1s`, `6m0s`, `120ms`. */
function duration(ms: number): string {
  if (ms < 1000) return `${Math.ceil(ms)}ms`;
  const seconds = Math.ceil(ms / 1000);
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`;
}
