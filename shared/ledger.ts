import type { Usage, UsageReading } from "./openai/usage.ts";

/**
 * The ledger's waist: money is set aside before an engine works and charged once when it stopped.
 *
 * A request is `unknown -> held -> settled`, or back to unknown by `void`. In each state:
 *
 * | call       | unknown            | held                              | settled                   |
 * |------------|--------------------|-----------------------------------|---------------------------|
 * | hold       | holds, or refuses  | the same hold: `isRepeat`         | refused: `duplicate`      |
 * | checkpoint | nothing            | notes usage, renews the lease     | nothing                   |
 * | settle     | throws             | charges, frees the rest, receipt  | returns the first receipt |
 * | void       | nothing            | frees all, forgets the request    | nothing                   |
 *
 * Amounts are integer nano-dollars; every call is atomic; the ledger's own clock decides; no call takes text of a user.
 * For each account `credited = available + held + spent`, always; available is never negative where it is prepaid.
 * `test/contracts/ledger.ts` is these promises as tests.
 */
export interface Ledger {
  /**
   * Sets aside the most a request can cost and counts it against every limit, all or nothing: the account is made, the
   * month rolled and the limits checked in one step. A refusal is a value and changes nothing.
   */
  hold(hold: Hold): Promise<HoldResult>;
  /** Notes the usage so far; what a sweep settles at when the request is lost. */
  checkpoint(ref: RequestRef, reading: UsageReading): Promise<void>;
  /**
   * Charges actual usage, at most once; never more than was held. What tokens-a-minute limits took too much is given
   * back, unless the count is only a lower bound (its source isn't the engine).
   */
  settle(ref: RequestRef, settlement: Settlement): Promise<Receipt>;
  /** Frees a hold whose request no engine took; its tokens go back to the limits. It may be held again. */
  void(ref: RequestRef): Promise<void>;
  /**
   * Settles holds whose lease has run out at `now` (Unix ms) at their last checkpoint, as `lost` and `counted`: more may
   * have come after it. Returns how many.
   */
  sweep(now: number): Promise<number>;
  /** Adds to what an account may spend (or takes away, down to nothing available), once for each id. */
  credit(account: string, credit: Credit): Promise<CreditResult>;
  balance(account: string): Promise<Balance>;
}

/** A request's place in the ledger: one writer an account. */
export interface RequestRef {
  readonly account: string;
  /** Unique for ever; ours, never a client's. */
  readonly requestId: string;
}

export interface Hold extends RequestRef {
  /** Null where the server is open. */
  readonly keyId: string | null;
  readonly route: BilledRoute;
  readonly model: string;
  readonly price: Price;
  /** Nano-dollars. */
  readonly amount: number;
  /** The most tokens it can take, prompt and completion: what tokens-a-minute limits take until it is settled. */
  readonly tokens: number;
  /** How long the hold lives without a checkpoint, in ms. */
  readonly leaseMs: number;
  /** The account's available balance must cover the amount; otherwise it pays later. */
  readonly isPrepaid: boolean;
  /** Everything it counts against; a name at most once. */
  readonly scopes: readonly Scope[];
}

export type BilledRoute = "chat" | "completions" | "embeddings";

/** A part of an account with limits of its own. */
export interface Scope {
  /** `account`, `key:<id>`, `model:<name>` or `key:<id>/model:<name>`. */
  readonly name: string;
  readonly limits: Limits;
}

/** What is left out is unlimited. Rates by GCRA, with a burst of one minute's worth. */
export interface Limits {
  readonly requestsPerMinute?: number | undefined;
  readonly tokensPerMinute?: number | undefined;
  /** Holds at the same time. */
  readonly concurrentRequests?: number | undefined;
  /** Nano-dollars spent and held in a calendar month, UTC. */
  readonly monthlyNanoUsd?: number | undefined;
  /** Nano-dollars spent and held, ever. */
  readonly totalNanoUsd?: number | undefined;
}

export type HoldResult =
  | {
      readonly ok: true;
      readonly heldNanoUsd: number;
      /** It was held before by the same id, and is in flight. */
      readonly isRepeat: boolean;
      readonly limits: readonly LimitState[];
    }
  | {
      readonly ok: false;
      readonly reason: "insufficient_quota";
      /** The scope whose budget is short; null: the account's balance. */
      readonly scope: string | null;
      readonly availableNanoUsd: number;
    }
  | {
      readonly ok: false;
      readonly reason: "rate_limited";
      readonly scope: string;
      readonly resource: "requests" | "tokens" | "concurrent";
      readonly limit: number;
      /** When it would fit, in ms; null: never, it asks for more than a minute's worth. */
      readonly retryAfterMs: number | null;
      readonly limits: readonly LimitState[];
    }
  | { readonly ok: false; readonly reason: "duplicate"; readonly receipt: Receipt };

/** A rate after the hold (or the refusal), for `x-ratelimit-*`. */
export interface LimitState {
  readonly scope: string;
  readonly resource: "requests" | "tokens";
  readonly limit: number;
  readonly remaining: number;
  /** Until it is whole again, in ms. */
  readonly resetMs: number;
}

/** Integer pico-dollars a token: $1 per million tokens is 1,000,000. */
export interface Price {
  readonly promptPicoUsd: number;
  readonly cachedPromptPicoUsd: number;
  readonly completionPicoUsd: number;
  /** For the part of the completion that was reasoning. */
  readonly reasoningPicoUsd: number;
}

export type Outcome = "completed" | "client_aborted" | "upstream_error" | "timeout" | "lost";

export interface Settlement extends UsageReading {
  readonly outcome: Outcome;
  /** The configured backend that answered; null for an engine of this host. */
  readonly backend: string | null;
  readonly engine: string;
  /** From the request to its first token; null where none came, or it was not streamed. */
  readonly ttftMs: number | null;
  readonly durationMs: number;
  /** Counted but not charged: a client that left a backend whose policy is `free`. */
  readonly isFree: boolean;
}

export interface Receipt extends Settlement, RequestRef {
  readonly keyId: string | null;
  readonly route: BilledRoute;
  readonly model: string;
  readonly price: Price;
  readonly usage: Usage;
  readonly costNanoUsd: number;
  /** Unix ms. */
  readonly heldAt: number;
  readonly settledAt: number;
}

export interface Credit {
  /** The caller's own: the same id again changes nothing. */
  readonly id: string;
  /** Nano-dollars; negative takes back. */
  readonly amountNanoUsd: number;
}

export type CreditResult =
  | { readonly ok: true; readonly isRepeat: boolean; readonly balance: Balance }
  /** It would take more than is available. */
  | { readonly ok: false; readonly availableNanoUsd: number };

/** `credited = available + held + spent`. Available is below zero only for accounts that pay later. */
export interface Balance {
  readonly creditedNanoUsd: number;
  readonly availableNanoUsd: number;
  readonly heldNanoUsd: number;
  readonly spentNanoUsd: number;
}
