import { eachInput } from "../shared/openai/embeddings.ts";
import { ApiError, overloaded } from "../shared/openai/errors.ts";
import { COMPLETIONS_MAX_TOKENS } from "../shared/openai/generation.ts";
import { worstCaseNanoUsd } from "../shared/pricing.ts";
import type { Target } from "./backends/catalog.ts";
import type { Deps } from "./deps.ts";
import type { Ask } from "./serve.ts";
import type { Traffic } from "./traffic.ts";

/** How long a hold lives without a checkpoint. */
export const LEASE_MS = 60_000;

export interface Admission {
  /** The id money is kept under: ours, so that a client which repeats its own ids is still served. */
  readonly holdId: string;
  readonly target: Target;
  readonly ask: Ask;
}

/**
 * Lets a request in: room first (a refusal for lack of room never touches the ledger), then the most it can cost is set
 * aside. It is in flight from then on. Throws what the client should see where either is short; nothing is held then.
 */
export async function admit(deps: Deps, traffic: Traffic, { holdId, target, ask }: Admission): Promise<void> {
  if (traffic.inFlight >= deps.config.limits.inFlight) {
    throw overloaded(
      `All ${deps.config.limits.inFlight} places for requests are taken. Retry in a moment.`,
      1000,
    );
  }
  // Counted before the ledger is asked: others that come meanwhile must see it.
  traffic.started();
  let isIn = false;
  try {
    const held = await deps.ledger.hold({
      account: ask.account,
      requestId: holdId,
      model: ask.body.model,
      price: target.price,
      amount: worstCaseNanoUsd(target.price, ask.bodyChars * MAX_BYTES_PER_CHAR, completionBound(ask)),
      leaseMs: LEASE_MS,
    });
    isIn = held.ok;
  } finally {
    if (!isIn) traffic.refused();
  }
  if (isIn) return;
  throw new ApiError(429, "The account's balance does not cover the most this request can cost.", {
    type: "insufficient_quota",
    code: "insufficient_quota",
    shouldRetry: false,
  });
}

/** UTF-8 bytes of one UTF-16 unit, at most; and no token is shorter than a byte. */
const MAX_BYTES_PER_CHAR = 3;

/** `ask` with the model's cap on completion tokens where the client names none: what is held rests on it. */
export function withCap(ask: Ask, target: Target): Ask {
  switch (ask.route) {
    case "chat": {
      const isOpen = target.maxTokens !== undefined && completionLimit(ask) === undefined;
      return isOpen ? { ...ask, body: { ...ask.body, max_tokens: target.maxTokens } } : ask;
    }
    case "completions": {
      const max_tokens = ask.body.max_tokens ?? target.maxTokens ?? COMPLETIONS_MAX_TOKENS;
      return { ...ask, body: { ...ask.body, max_tokens } };
    }
    case "embeddings":
      return ask;
    default:
      return ask satisfies never;
  }
}

/** The completion tokens of one choice that the request allows, if it says. */
function completionLimit(ask: Ask): number | undefined {
  if (ask.route === "embeddings") return 0;
  return ask.route === "chat" ? (ask.body.max_completion_tokens ?? ask.body.max_tokens) : ask.body.max_tokens;
}

/** The completion tokens of all its choices. */
function completionBound(ask: Ask): number {
  const limit = completionLimit(ask) ?? 0;
  if (ask.route !== "completions") return limit * (ask.route === "chat" ? (ask.body.n ?? 1) : 1);
  return limit * eachInput(ask.body.prompt).length * Math.max(ask.body.n ?? 1, ask.body.best_of ?? 1);
}
