import type { Hold, Receipt, Settlement } from "../../shared/ledger.ts";
import { toPrice } from "../../shared/pricing.ts";
import type { Store } from "../../shared/store.ts";

interface Billed {
  readonly hold?: Partial<Hold>;
  readonly end?: Partial<Settlement>;
}

/** One request, from its hold to its receipt: 100 prompt tokens and 50 of completion, at $1 and $2 a million. */
export async function bill(store: Store, { hold: asked, end }: Billed = {}): Promise<Receipt> {
  const hold: Hold = {
    account: "acme",
    requestId: crypto.randomUUID(),
    keyId: "key_1",
    route: "chat",
    model: "small",
    price: toPrice({ prompt: 1, completion: 2 }),
    amount: 1_000_000_000,
    tokens: 1000,
    leaseMs: 60_000,
    isPrepaid: false,
    scopes: [],
    ...asked,
  };
  const held = await store.ledger.hold(hold);
  if (!held.ok) throw new Error(`The hold was refused: ${held.reason}`);
  return await store.ledger.settle(hold, {
    usage: { promptTokens: 100, cachedTokens: 0, completionTokens: 50, reasoningTokens: 0 },
    source: "engine",
    outcome: "completed",
    backend: null,
    engine: "dummy",
    ttftMs: 5,
    durationMs: 50,
    isFree: false,
    ...end,
  });
}
