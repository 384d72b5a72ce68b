import fc from "fast-check";
import { expect } from "vitest";
import type { Scope, Settlement } from "../../shared/ledger.ts";
import { NO_USAGE, type Usage } from "../../shared/openai/usage.ts";
import { costNanoUsd } from "../../shared/pricing.ts";
import type { Store } from "../../shared/store.ts";
import {
  CREDIT,
  completed,
  holdOf,
  LEASE_MS,
  type MakeStore,
  NOW,
  PRICE,
  reading,
  usage,
} from "./ledger-fixtures.ts";

/** A second for each token and each request: whole milliseconds, so that the model needs no fractions. */
const TOKENS_A_MINUTE = 60;
const SCOPES: readonly Scope[] = [
  { name: "account", limits: { tokensPerMinute: TOKENS_A_MINUTE, monthlyNanoUsd: CREDIT / 2 } },
  { name: "key:key", limits: { concurrentRequests: 3 } },
];
const SECOND_MS = 1000;

/** Does at random what a ledger can be asked, beside a model of it, and compares after each step. */
export async function checkAgainstModel(makeStore: MakeStore): Promise<void> {
  await fc.assert(
    fc.asyncProperty(fc.array(action, { maxLength: 60 }), async (actions) => {
      const clock = { now: NOW };
      const store = await makeStore({ now: () => clock.now, webhooks: [] });
      try {
        await store.ledger.credit("ann", { id: "start", amountNanoUsd: CREDIT });
        const model = createModel();
        for (const each of actions) {
          if (each.kind === "wait") clock.now += each.ms;
          await expectSame(store, model, each, clock.now);
          const balance = await store.ledger.balance("ann");
          expect(balance.availableNanoUsd).toBeGreaterThanOrEqual(0);
          expect(balance).toEqual(model.balance());
        }
        expect(await store.books.verify()).toEqual([]);
        const { receipts } = await store.books.receipts({ limit: 100 });
        expect(receipts.map(({ requestId }) => requestId).toSorted()).toEqual(
          [...model.settled.keys()].toSorted(),
        );
      } finally {
        await store.close();
      }
    }),
    { numRuns: 40 },
  );
}

const id = fc.constantFrom("r1", "r2", "r3", "r4", "r5");
const made = fc.record({ prompt: fc.nat(60), completion: fc.nat(60) });
const action = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("hold" as const),
      id,
      amount: fc.integer({ min: 1, max: CREDIT / 4 }),
      tokens: fc.integer({ min: 1, max: 40 }),
    }),
  },
  fc.record({ kind: fc.constant("checkpoint" as const), id, made }),
  fc.record({ kind: fc.constant("settle" as const), id, made, isExact: fc.boolean() }),
  fc.record({ kind: fc.constant("void" as const), id }),
  fc.record({ kind: fc.constant("wait" as const), ms: fc.integer({ min: 1, max: 2 * LEASE_MS }) }),
  fc.record({ kind: fc.constant("sweep" as const) }),
);
type Action = typeof action extends fc.Arbitrary<infer T> ? T : never;

interface ModelHold {
  readonly amount: number;
  readonly tokens: number;
  usage: Usage;
  expiresAt: number;
}

/** One account as plainly as it can be written down. */
function createModel() {
  const open = new Map<string, ModelHold>();
  /** Cost by request. */
  const settled = new Map<string, number>();
  let tokensFullAt = 0;
  const held = () => [...open.values()].reduce((sum, { amount }) => sum + amount, 0);
  const spent = () => [...settled.values()].reduce((sum, cost) => sum + cost, 0);

  function end(requestId: string, hold: ModelHold, used: Usage, surplus: number): number {
    const cost = Math.min(costNanoUsd(PRICE, used), hold.amount);
    open.delete(requestId);
    settled.set(requestId, cost);
    tokensFullAt -= Math.max(0, surplus) * SECOND_MS;
    return cost;
  }

  return {
    settled,
    balance: () => ({
      creditedNanoUsd: CREDIT,
      availableNanoUsd: CREDIT - held() - spent(),
      heldNanoUsd: held(),
      spentNanoUsd: spent(),
    }),
    hold(requestId: string, amount: number, tokens: number, now: number): string {
      if (open.has(requestId)) return "repeat";
      if (settled.has(requestId)) return "duplicate";
      if (amount > CREDIT - held() - spent()) return "insufficient_quota";
      if (amount > CREDIT / 2 - held() - spent()) return "insufficient_quota";
      const fullAt = Math.max(tokensFullAt, now) + tokens * SECOND_MS;
      if (fullAt - now > TOKENS_A_MINUTE * SECOND_MS || open.size >= 3) return "rate_limited";
      tokensFullAt = fullAt;
      open.set(requestId, { amount, tokens, usage: NO_USAGE, expiresAt: now + LEASE_MS });
      return "ok";
    },
    checkpoint(requestId: string, used: Usage, now: number): void {
      const hold = open.get(requestId);
      if (hold === undefined) return;
      hold.usage = used;
      hold.expiresAt = now + LEASE_MS;
    },
    settle(requestId: string, used: Usage, isExact: boolean): number | undefined {
      const hold = open.get(requestId);
      if (hold === undefined) return settled.get(requestId);
      const surplus = isExact ? hold.tokens - used.promptTokens - used.completionTokens : 0;
      return end(requestId, hold, used, surplus);
    },
    void(requestId: string): void {
      const hold = open.get(requestId);
      if (hold === undefined) return;
      open.delete(requestId);
      tokensFullAt -= hold.tokens * SECOND_MS;
    },
    sweep(now: number): number {
      const expired = [...open].filter(([, { expiresAt }]) => expiresAt <= now);
      for (const [requestId, hold] of expired) end(requestId, hold, hold.usage, 0);
      return expired.length;
    },
  };
}

async function expectSame(
  { ledger }: Store,
  model: ReturnType<typeof createModel>,
  each: Action,
  now: number,
): Promise<void> {
  const ref = { account: "ann", requestId: "id" in each ? each.id : "" };
  switch (each.kind) {
    case "hold": {
      const { amount, tokens } = each;
      const result = await ledger.hold(holdOf({ ...ref, amount, tokens, scopes: SCOPES }));
      const found = result.ok ? (result.isRepeat ? "repeat" : "ok") : result.reason;
      expect(found).toBe(model.hold(each.id, amount, tokens, now));
      break;
    }
    case "checkpoint": {
      const used = usage(each.made.prompt, each.made.completion);
      await ledger.checkpoint(ref, reading(used));
      model.checkpoint(each.id, used, now);
      break;
    }
    case "settle": {
      const used = usage(each.made.prompt, each.made.completion);
      const settlement: Settlement = completed(used, { source: each.isExact ? "engine" : "counted" });
      const cost = model.settle(each.id, used, each.isExact);
      if (cost === undefined) await expect(ledger.settle(ref, settlement)).rejects.toThrow();
      else expect((await ledger.settle(ref, settlement)).costNanoUsd).toBe(cost);
      break;
    }
    case "void":
      await ledger.void(ref);
      model.void(each.id);
      break;
    case "sweep":
      expect(await ledger.sweep(now)).toBe(model.sweep(now));
      break;
    case "wait":
      break;
    default:
      each satisfies never;
  }
}
