import type { Basis, Usage } from "./openai/usage.ts";

/**
 * The ledger's waist: money is set aside before an engine works and charged once when it stopped.
 *
 * A request is `unknown -> held -> settled | voided`. In each state:
 *
 * | call       | unknown            | held                              | settled                   | voided          |
 * |------------|--------------------|-----------------------------------|---------------------------|-----------------|
 * | hold       | holds, or refuses  | returns the same hold             | refused: `duplicate`      | refused: `duplicate` |
 * | checkpoint | nothing            | notes usage, renews the lease     | nothing                   | nothing         |
 * | settle     | throws             | charges, frees the rest, receipt  | returns the first receipt | throws          |
 * | void       | nothing            | frees all                         | nothing                   | nothing         |
 *
 * Amounts are integer nano-dollars; every call is atomic; no call takes text of a user.
 * `test/contracts/ledger.ts` is these promises as tests.
 */
export interface Ledger {
  /** Sets aside the most a request can cost. A refusal is a value and changes nothing. */
  hold(hold: Hold): Promise<HoldResult>;
  /** Notes the usage so far; what a sweep settles at when the request is lost. */
  checkpoint(requestId: string, usage: Usage): Promise<void>;
  /** Charges actual usage, at most once; never more than was held. */
  settle(requestId: string, settlement: Settlement): Promise<Receipt>;
  /** Frees a hold whose request never reached an engine. */
  void(requestId: string): Promise<void>;
  /** Settles holds whose lease has run out at `now` (Unix ms) at their last checkpoint, as `lost`. Returns how many. */
  sweep(now: number): Promise<number>;
  balance(account: string): Promise<Balance>;
  close(): Promise<void>;
}

export interface Hold {
  readonly account: string;
  readonly requestId: string;
  readonly model: string;
  readonly price: Price;
  /** Nano-dollars. */
  readonly amount: number;
  /** How long the hold lives without a checkpoint, in ms. */
  readonly leaseMs: number;
}

export type HoldResult =
  | { readonly ok: true; readonly heldNanoUsd: number }
  | {
      readonly ok: false;
      readonly reason: "insufficient_quota" | "duplicate";
      readonly availableNanoUsd: number;
    };

/** Integer pico-dollars a token: $1 per million tokens is 1,000,000. */
export interface Price {
  readonly promptPicoUsd: number;
  readonly cachedPromptPicoUsd: number;
  readonly completionPicoUsd: number;
}

export type Outcome = "completed" | "client_aborted" | "upstream_error" | "timeout" | "lost";

export interface Settlement {
  readonly usage: Usage;
  readonly basis: Basis;
  readonly outcome: Outcome;
}

export interface Receipt extends Settlement {
  readonly requestId: string;
  readonly account: string;
  readonly model: string;
  readonly costNanoUsd: number;
  /** Unix ms. */
  readonly heldAt: number;
  readonly settledAt: number;
}

/** `balance + held + spent = credited`, always. An account without credit is unlimited: its balance is null. */
export interface Balance {
  readonly balanceNanoUsd: number | null;
  readonly heldNanoUsd: number;
  readonly spentNanoUsd: number;
}
