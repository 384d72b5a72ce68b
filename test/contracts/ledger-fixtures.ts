import type { Hold, Price, RequestRef, Settlement } from "../../shared/ledger.ts";
import { NO_USAGE, type Usage } from "../../shared/openai/usage.ts";
import type { Store } from "../../shared/store.ts";

/** What a suite needs of a store: a clock it can move, and the webhooks that are told. */
export interface StoreSetup {
  /** The store's clock, Unix ms. */
  readonly now: () => number;
  readonly webhooks: readonly string[];
}

/** An empty store; the suite closes it. */
export type MakeStore = (setup: StoreSetup) => Store | Promise<Store>;

/** The same store as after a crash: opened again while the first is not closed. The suite closes only the new one. */
export type Reopen = (store: Store) => Store | Promise<Store>;

/** A dollar a million: one nano-dollar buys a thousandth of a token, so that costs are easy to read. */
export const PRICE: Price = {
  promptPicoUsd: 1_000_000,
  cachedPromptPicoUsd: 100_000,
  completionPicoUsd: 2_000_000,
  reasoningPicoUsd: 3_000_000,
};
export const CREDIT = 1_000_000;
export const LEASE_MS = 1000;
/** The middle of a month: 2026-11-15T12:00:00Z. */
export const NOW = Date.UTC(2026, 10, 15, 12);

export const R1: RequestRef = { account: "ann", requestId: "r1" };

export function holdOf(more: Partial<Hold> = {}): Hold {
  return {
    ...R1,
    keyId: "key",
    route: "chat",
    model: "m",
    price: PRICE,
    amount: 10_000,
    tokens: 10,
    leaseMs: LEASE_MS,
    isPrepaid: true,
    scopes: [],
    ...more,
  };
}

export function usage(promptTokens: number, completionTokens: number): Usage {
  return { ...NO_USAGE, promptTokens, completionTokens };
}

export function reading(used: Usage) {
  return { usage: used, source: "engine" as const };
}

export function completed(used: Usage, more: Partial<Settlement> = {}): Settlement {
  return {
    usage: used,
    source: "engine",
    outcome: "completed",
    backend: null,
    engine: "dummy",
    ttftMs: 7,
    durationMs: 20,
    isFree: false,
    ...more,
  };
}
