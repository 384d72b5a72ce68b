import { randomUUID } from "node:crypto";
import type { Store } from "../../shared/store.ts";
import type { StoreAnswer, StoreCall } from "./store-worker.ts";

export interface DurableStoreOptions {
  /** Of `store-worker.ts` in workerd. */
  readonly url: string;
  /** Of the ledger; the real time when left out, by which alone its alarms find something. */
  readonly now?: () => number;
  readonly webhooks?: readonly string[];
  /** The same scope is the same store; a new one when left out. */
  readonly scope?: string;
}

/** The store of Durable Objects, asked from here. */
export function durableStore({ url, now, webhooks = [], scope = randomUUID() }: DurableStoreOptions): Store {
  const part = (name: StoreCall["part"]) =>
    new Proxy(
      {},
      {
        get: (_, method: string) =>
          // Awaited, a part is itself.
          method === "then"
            ? undefined
            : async (...args: unknown[]) => {
                const call: StoreCall = { scope, now: now?.() ?? null, webhooks, part: name, method, args };
                const response = await fetch(url, { method: "POST", body: JSON.stringify(call) });
                const answer: StoreAnswer = await response.json();
                if ("error" in answer) throw new Error(answer.error);
                return answer.value;
              },
      },
    );
  // Every method is a call of the same name on the other side.
  return {
    ledger: part("ledger"),
    books: part("books"),
    directory: part("directory"),
    isDistant: true,
    close: async () => {},
  } as Store;
}
