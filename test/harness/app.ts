import { createApp } from "../../functions/app.ts";
import type { Deps, EngineEntry, Log } from "../../functions/deps.ts";
import type { AnswerStore } from "../../functions/idempotency.ts";
import { createAnswerStore } from "../../runtime-node/answers.ts";
import { createSqliteStore } from "../../runtime-node/ledger/sqlite.ts";
import { parseConfig } from "../../shared/config.ts";
import { createDummyEngine } from "../../shared/dummy-engine.ts";
import type { Engine } from "../../shared/engine.ts";
import type { Hold, Ledger, Price, Receipt } from "../../shared/ledger.ts";
import { FREE } from "../../shared/pricing.ts";
import type { Store } from "../../shared/store.ts";
import { checked } from "./oracle.ts";

export interface AppOptions {
  readonly config?: Record<string, unknown>;
  /** The dummy engine with `sluice-demo` when left out. */
  readonly engines?: readonly EngineEntry[];
  /** Nothing is kept when left out. */
  readonly store?: Store;
  /** What stands in for parts of the store's ledger. */
  readonly ledger?: Partial<Ledger>;
  /** Everybody is the client of a prepaid account (`PREPAID`) with so many nano-dollars; an open server when left out. */
  readonly credit?: number;
  /** Kept in memory when left out. */
  readonly answers?: AnswerStore;
  readonly now?: () => number;
}

/** The whole app in this process, called without a socket, with everything it did in the open. */
export interface TestApp {
  /** Like the global `fetch`, into the app; answers are validated against OpenAI's schemas. */
  readonly fetch: typeof fetch;
  /** `fetch` without that check. */
  readonly rawFetch: typeof fetch;
  readonly post: (path: string, body: unknown, init?: RequestInit) => Promise<Response>;
  readonly holds: Hold[];
  readonly receipts: Receipt[];
  readonly voided: string[];
  readonly ledger: Ledger;
  readonly logs: string[];
  /** Resolves when everything that was to go on after an answer has. */
  readonly settled: () => Promise<void>;
}

const ORIGIN = "http://app.test";

/** The account of `AppOptions.credit`, and its key. */
export const PREPAID = "ann";
export const PREPAID_KEY = "sk-slc-key-of-ann-in-tests";
/** Of the admin API beside it. */
export const ADMIN_KEY = "an-admin-key-in-tests";
const PREPAID_CONFIG = {
  admin: { key: ADMIN_KEY },
  keys: [{ id: "ann-key", key: PREPAID_KEY, account: PREPAID }],
  accounts: [{ id: PREPAID, prepaid: true }],
};

export function testApp(options: AppOptions = {}): TestApp {
  const logs: string[] = [];
  const write = (message: string, fields?: unknown) =>
    void logs.push(`${message} ${JSON.stringify(fields ?? {})}`);
  const log: Log = { debug: write, info: write, warn: write, error: write };
  const now = options.now ?? (() => Date.now());
  const store = options.store ?? memoryStore(now);
  const watched = watchedLedger({ ...store.ledger, ...options.ledger });
  const isPrepaid = options.credit !== undefined;
  if (isPrepaid) void store.ledger.credit(PREPAID, { id: "test", amountNanoUsd: options.credit });
  const deps: Deps = {
    config: parseConfig({ ...options.config, ...(isPrepaid ? PREPAID_CONFIG : {}) }, {}),
    engines: options.engines ?? [entryOf(dummy())],
    store: { ...store, ledger: watched.ledger },
    answers: options.answers ?? createAnswerStore(now),
    clock: { now, monotonic: options.now ?? (() => performance.now()) },
    log,
    platform: { info: { system: "test" }, sample: async () => ({}) },
  };
  const app = createApp(deps);
  const pending = new Set<Promise<unknown>>();
  const context = {
    waitUntil: (promise: Promise<unknown>) => void pending.add(promise),
    passThroughOnException() {},
    props: {},
  };
  const rawFetch: typeof fetch = async (input, init) =>
    app.fetch(
      new Request(input instanceof Request ? input : new URL(String(input), ORIGIN), init),
      {},
      context,
    );
  const appFetch = checked(rawFetch);
  return {
    fetch: appFetch,
    rawFetch,
    post: (path, body, init = {}) =>
      appFetch(path, {
        method: "POST",
        body: JSON.stringify(body),
        ...init,
        headers: {
          "content-type": "application/json",
          ...(isPrepaid ? { authorization: `Bearer ${PREPAID_KEY}` } : {}),
          ...init.headers,
        },
      }),
    ...watched,
    logs,
    settled: async () => void (await Promise.all(pending)),
  };
}

/** A store that forgets everything. */
export function memoryStore(now: () => number = Date.now): Store {
  const silent = () => {};
  const log = { debug: silent, info: silent, warn: silent, error: silent };
  return createSqliteStore({ path: ":memory:", now, log });
}

/** The dummy engine with `sluice-demo` loaded. */
export function dummy(...options: Parameters<typeof createDummyEngine>) {
  const engine = createDummyEngine(...options);
  void engine.loadModel("sluice-demo", "demo");
  return engine;
}

export function entryOf(engine: Engine, served: Partial<ServedOptions> = {}): EngineEntry {
  const { id = "sluice-demo", as = id, weight = 1, price = FREE, maxTokens, aliases = [] } = served;
  const cap = maxTokens === undefined ? {} : { maxTokens };
  return { engine, serves: [{ id, as, aliases, weight, price, ...cap }], price };
}

interface ServedOptions {
  readonly id: string;
  readonly as: string;
  readonly aliases: readonly string[];
  readonly weight: number;
  readonly price: Price;
  readonly maxTokens: number;
}

/** The same ledger; what went through it is kept. */
function watchedLedger(inner: Ledger) {
  const holds: Hold[] = [];
  const receipts: Receipt[] = [];
  const voided: string[] = [];
  const ledger: Ledger = {
    ...inner,
    async hold(hold) {
      const result = await inner.hold(hold);
      if (result.ok) holds.push(hold);
      return result;
    },
    async settle(ref, settlement) {
      const receipt = await inner.settle(ref, settlement);
      receipts.push(receipt);
      return receipt;
    },
    async void(ref) {
      await inner.void(ref);
      voided.push(ref.requestId);
    },
  };
  return { ledger, holds, receipts, voided };
}
