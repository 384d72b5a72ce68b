import { createLedgerObject, type ObjectNamespace } from "../../functions/ledger/durable.ts";
import { createDurableStore } from "../../functions/ledger/durable-store.ts";

/** A Worker that is nothing but a store: `durable-store.ts` of this folder asks it, one call a request. */

export interface StoreCall {
  /** Before each object's name, so that one workerd has room for many stores; empty: the Worker's own store. */
  readonly scope: string;
  /** The ledger's clock from now on, Unix ms; null: the real one. */
  readonly now: number | null;
  readonly webhooks: readonly string[];
  readonly part: "ledger" | "books" | "directory";
  readonly method: string;
  readonly args: readonly unknown[];
}

export type StoreAnswer = { readonly value?: unknown } | { readonly error: string };

// Worker and objects share an isolate in workerd: what a call says holds for the objects it reaches.
let set: number | null = null;
let webhooks: readonly string[] = [];
const now = () => set ?? Date.now();

const RETRY_MS = 20;
const quiet = () => {};
const RealObject = createLedgerObject(() => ({
  now,
  webhooks,
  // A receiver that takes the second try.
  async deliver(books) {
    for (const delivery of await books.due(now(), 10))
      await (delivery.attempts === 0
        ? books.postpone(delivery, now() + RETRY_MS)
        : books.delivered(delivery));
  },
  log: { debug: quiet, info: quiet, warn: quiet, error: quiet },
}));

export class LedgerObject extends RealObject {
  override async alarm(): Promise<void> {
    // By a clock that a suite moves, the suite sweeps.
    if (set === null) await super.alarm();
  }
}

export default {
  async fetch(request: Request, env: { readonly LEDGER: ObjectNamespace }): Promise<Response> {
    const call: StoreCall = await request.json();
    ({ now: set, webhooks } = call);
    const store = createDurableStore(scoped(env.LEDGER, call.scope), { now });
    const method: unknown = Reflect.get(store[call.part], call.method);
    if (typeof method !== "function") return Response.json({ error: `no method ${call.method}` });
    try {
      return Response.json({ value: await Reflect.apply(method, undefined, call.args) });
    } catch (error) {
      return Response.json({ error: error instanceof Error ? error.message : String(error) });
    }
  },
};

function scoped(namespace: ObjectNamespace, scope: string): ObjectNamespace {
  if (scope === "") return namespace;
  return new Proxy(namespace, {
    get(target, property) {
      if (property === "idFromName") return (name: string) => target.idFromName(`${scope}:${name}`);
      const value: unknown = Reflect.get(target, property);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
