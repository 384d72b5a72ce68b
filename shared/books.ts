import type { BilledRoute, Receipt, RequestRef } from "./ledger.ts";
import type { Usage } from "./openai/usage.ts";

/** What a ledger has written down, to be read: never on the way of a request. */
export interface Books {
  /** Every account with a credit, a hold or a receipt, sorted. */
  accounts(): Promise<readonly string[]>;
  receipt(ref: RequestRef): Promise<Receipt | undefined>;
  /** By `settledAt`, then request id, oldest first. */
  receipts(query: ReceiptQuery): Promise<ReceiptPage>;
  /** Sums of receipts, by bucket and group; empty ones are left out. Sorted by start. */
  totals(query: TotalsQuery): Promise<readonly UsageTotal[]>;
  /** Receipts that wait to be told to a webhook at `now` (Unix ms), longest waiting first. */
  due(now: number, limit: number): Promise<readonly Delivery[]>;
  delivered(delivery: Delivery): Promise<void>;
  /** Tries again at `at` (Unix ms), or never again where it is null. */
  postpone(delivery: Delivery, at: number | null): Promise<void>;
  /** Proves the invariants over all that is written: one sentence for each breach, none where all holds. */
  verify(): Promise<readonly string[]>;
}

export interface ReceiptFilter {
  readonly account?: string | undefined;
  readonly keyId?: string | undefined;
  readonly model?: string | undefined;
  /** Unix ms of `settledAt`: from (inclusive), to (exclusive). */
  readonly from?: number | undefined;
  readonly to?: number | undefined;
}

export interface ReceiptQuery extends ReceiptFilter {
  /** The last page's `next`. */
  readonly after?: string | undefined;
  readonly limit: number;
}

export interface ReceiptPage {
  readonly receipts: readonly Receipt[];
  /** Where the next page starts; null on the last one. */
  readonly next: string | null;
}

export interface TotalsQuery extends ReceiptFilter {
  readonly from: number;
  readonly to: number;
  /** Buckets start at multiples of it (Unix ms). */
  readonly bucketMs: number;
  readonly routes?: readonly BilledRoute[] | undefined;
  readonly groupBy: readonly ("account" | "key" | "model")[];
}

export interface UsageTotal {
  /** Unix ms. */
  readonly start: number;
  /** Undefined unless grouped by it; a key's null is an open server's. */
  readonly account?: string | undefined;
  readonly keyId?: string | null | undefined;
  readonly model?: string | undefined;
  readonly requests: number;
  readonly usage: Usage;
  readonly costNanoUsd: number;
}

/** A receipt on its way to one webhook. */
export interface Delivery {
  readonly webhook: string;
  readonly receipt: Receipt;
  /** How often it was tried before. */
  readonly attempts: number;
}
