import { ApiError, overloaded } from "../shared/openai/errors.ts";
import type { ChatRequest, CompletionRequest, EmbeddingRequest } from "../shared/openai/schemas.ts";
import { worstCaseNanoUsd } from "../shared/pricing.ts";
import type { Target } from "./backends/catalog.ts";
import type { Deps } from "./deps.ts";
import type { Traffic } from "./traffic.ts";

/** How long a hold lives without a checkpoint. */
export const LEASE_MS = 60_000;

export interface Admission {
  /** The id money is kept under: ours, so that a client which repeats its own ids is still served. */
  readonly holdId: string;
  readonly account: string;
  readonly target: Target;
  readonly body: ChatRequest | CompletionRequest | EmbeddingRequest;
  /** Characters of the request body: what bounds its prompt tokens. */
  readonly bodyChars: number;
}

/**
 * Lets a request in: room first (a refusal for lack of room never touches the ledger), then the most it can cost is set aside.
 * Throws what the client should see where either is short; nothing is held then.
 */
export async function admit(deps: Deps, traffic: Traffic, admission: Admission): Promise<void> {
  if (traffic.inFlight >= deps.config.limits.inFlight) {
    throw overloaded(
      `All ${deps.config.limits.inFlight} places for requests are taken. Retry in a moment.`,
      1000,
    );
  }
  const { holdId, account, target, body, bodyChars } = admission;
  const held = await deps.ledger.hold({
    account,
    requestId: holdId,
    model: body.model,
    price: target.price,
    amount: worstCaseNanoUsd(target.price, bodyChars * MAX_BYTES_PER_CHAR, completionBound(body, target)),
    leaseMs: LEASE_MS,
  });
  if (held.ok) return;
  throw new ApiError(429, "The account's balance does not cover the most this request can cost.", {
    type: "insufficient_quota",
    code: "insufficient_quota",
    shouldRetry: false,
  });
}

/** UTF-8 bytes of one UTF-16 unit, at most; and no token is shorter than a byte. */
const MAX_BYTES_PER_CHAR = 3;

function completionBound(body: Admission["body"], target: Target): number {
  if ("input" in body) return 0;
  return (
    (completionLimit(body) ?? target.maxTokens ?? 0) * ((body as ChatRequest | CompletionRequest).n ?? 1)
  );
}

/** The completion tokens that the client allows, if it says. */
export function completionLimit(body: ChatRequest | CompletionRequest): number | undefined {
  return "messages" in body
    ? ((body as ChatRequest).max_completion_tokens ?? body.max_tokens)
    : body.max_tokens;
}
