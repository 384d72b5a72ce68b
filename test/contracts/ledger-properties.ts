import fc from "fast-check";
import { expect } from "vitest";
import type { Scope, Settlement } from "../../shared/ledger.ts";
import type { Store } from "../../shared/store.ts";
import {
  CREDIT,
  completed,
  holdOf,
  LEASE_MS,
  type MakeStore,
  NOW,
  type Reopen,
  reading,
  usage,
} from "./ledger-fixtures.ts";
import { createModel, type LedgerModel } from "./ledger-model.ts";

/** Does at random what a ledger can be asked, beside a model of it, and compares all that it says. */
export async function checkAgainstModel(makeStore: MakeStore, reopen: Reopen | undefined): Promise<void> {
  const story = fc.record({
    scopes: fc.tuple(...["account", "key:key", "model:m"].map(scopeOf)),
    actions: fc.array(action, { minLength: 10, maxLength: 60 }),
  });
  await fc.assert(
    fc.asyncProperty(story, async ({ scopes, actions }) => {
      let now = NOW;
      let store = await makeStore({ now: () => now, webhooks: [] });
      try {
        const model = createModel(() => now);
        const start = { id: "start", amountNanoUsd: CREDIT };
        await store.ledger.credit("ann", start);
        model.credit("ann", start);
        for (const each of actions) {
          if (each.kind === "wait") now += each.ms;
          if (each.kind === "crash" && reopen !== undefined) store = await reopen(store);
          await expectSame(store, model, scopes, each, now);
          for (const account of ACCOUNTS)
            expect(await store.ledger.balance(account)).toEqual(model.balance(account));
        }
        const { receipts } = await store.books.receipts({ limit: 100 });
        expect(receipts.toSorted(byId)).toEqual(model.receipts.toSorted(byId));
        expect(await store.books.verify()).toEqual([]);
      } finally {
        await store.close();
      }
    }),
    { numRuns: 50 },
  );
}

/** Asks at random, and all at once: in whatever order it happens, nothing is overspent, over a limit or charged twice. */
export async function checkAllAtOnce(makeStore: MakeStore): Promise<void> {
  const limits = { concurrentRequests: 4, requestsPerMinute: 6, tokensPerMinute: 60 };
  await fc.assert(
    fc.asyncProperty(fc.array(action, { minLength: 10, maxLength: 40 }), async (actions) => {
      const store = await makeStore({ now: () => NOW, webhooks: [] });
      const { ledger, books } = store;
      try {
        await ledger.credit("ann", { id: "start", amountNanoUsd: CREDIT });
        const admitted: string[] = [];
        const settled: string[] = [];
        const asked = actions.map(async (each) => {
          if (!("id" in each)) return;
          const ref = { account: "ann", requestId: each.id };
          if (each.kind === "hold") {
            const scopes = [{ name: "account", limits }];
            const { amount, tokens } = each;
            const result = await ledger.hold(holdOf({ ...ref, amount, tokens, scopes }));
            if (result.ok && !result.isRepeat) admitted.push(each.id);
          }
          // Where it wasn't held, it throws: that is said above.
          if (each.kind === "settle")
            await ledger.settle(ref, settlementOf(each)).then(
              ({ requestId }) => settled.push(requestId),
              () => {},
            );
          if (each.kind === "checkpoint") await ledger.checkpoint(ref, reading(usageOf(each)));
        });
        await Promise.all(asked);
        const receipts = (await books.receipts({ limit: 100 })).receipts.map(({ requestId }) => requestId);
        expect(receipts.toSorted()).toEqual([...new Set(settled)].toSorted());
        expect(admitted).toEqual([...new Set(admitted)]);
        expect(admitted.length).toBeLessThanOrEqual(limits.requestsPerMinute);
        expect(admitted.length - receipts.length).toBeLessThanOrEqual(limits.concurrentRequests);
        const { creditedNanoUsd, availableNanoUsd, heldNanoUsd, spentNanoUsd } = await ledger.balance("ann");
        expect(availableNanoUsd).toBeGreaterThanOrEqual(0);
        expect(availableNanoUsd + heldNanoUsd + spentNanoUsd).toBe(creditedNanoUsd);
        expect(await books.verify()).toEqual([]);
      } finally {
        await store.close();
      }
    }),
    { numRuns: 20 },
  );
}

/** One pays ahead, one later. */
const ACCOUNTS = ["ann", "bob"] as const;

function scopeOf(name: string): fc.Arbitrary<Scope> {
  const limits = fc.record(
    {
      requestsPerMinute: fc.integer({ min: 1, max: 13 }),
      tokensPerMinute: fc.integer({ min: 30, max: 150 }),
      concurrentRequests: fc.integer({ min: 2, max: 5 }),
      monthlyNanoUsd: fc.nat(CREDIT / 4),
      totalNanoUsd: fc.nat(CREDIT / 2),
    },
    { requiredKeys: [] },
  );
  return limits.map((of) => ({ name, limits: of }));
}

const account = fc.constantFrom(...ACCOUNTS);
const id = fc.nat(11).map((n) => `r${n}`);
const made = fc.record({ prompt: fc.nat(15), completion: fc.nat(15) });
const MONTH_MS = 31 * 86_400_000;
const action = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("hold" as const),
      account,
      id,
      amount: fc.nat(CREDIT / 10),
      tokens: fc.nat(60),
      scopes: fc.subarray([0, 1, 2]),
    }),
  },
  fc.record({ kind: fc.constant("checkpoint" as const), account, id, made }),
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("settle" as const),
      account,
      id,
      made,
      source: fc.constantFrom("engine", "counted", "estimated"),
      isFree: fc.boolean(),
    }),
  },
  fc.record({ kind: fc.constant("void" as const), account, id }),
  fc.record({
    kind: fc.constant("credit" as const),
    account,
    id: fc.constantFrom("c1", "c2", "c3", "c4"),
    amount: fc.integer({ min: -CREDIT, max: CREDIT }),
  }),
  fc.record({
    kind: fc.constant("wait" as const),
    ms: fc.oneof(
      { weight: 3, arbitrary: fc.nat(LEASE_MS / 2) },
      fc.nat(10_000),
      fc.constantFrom(60_000, MONTH_MS),
    ),
  }),
  fc.record({ kind: fc.constant("sweep" as const) }),
  fc.record({ kind: fc.constant("crash" as const) }),
);
type Action = typeof action extends fc.Arbitrary<infer T> ? T : never;

async function expectSame(
  { ledger }: Store,
  model: LedgerModel,
  scopes: readonly Scope[],
  each: Action,
  now: number,
): Promise<void> {
  switch (each.kind) {
    case "hold": {
      const { amount, tokens } = each;
      const hold = holdOf({
        ...refOf(each),
        amount,
        tokens,
        isPrepaid: each.account === "ann",
        scopes: scopes.filter((_, i) => each.scopes.includes(i)),
      });
      expect(await ledger.hold(hold)).toEqual(model.hold(hold));
      break;
    }
    case "checkpoint":
      await ledger.checkpoint(refOf(each), reading(usageOf(each)));
      model.checkpoint(refOf(each).requestId, usageOf(each));
      break;
    case "settle": {
      const receipt = model.settle(refOf(each).requestId, settlementOf(each));
      const settling = ledger.settle(refOf(each), settlementOf(each));
      if (receipt === undefined) await expect(settling).rejects.toThrow();
      else expect(await settling).toEqual(receipt);
      break;
    }
    case "void":
      await ledger.void(refOf(each));
      model.void(refOf(each).requestId);
      break;
    case "credit": {
      const credit = { id: each.id, amountNanoUsd: each.amount };
      expect((await ledger.credit(each.account, credit)).ok).toBe(model.credit(each.account, credit));
      break;
    }
    case "sweep":
      expect(await ledger.sweep(now)).toBe(model.sweep());
      break;
    case "wait":
    case "crash":
      break;
    default:
      each satisfies never;
  }
}

function refOf({ account, id }: { readonly account: string; readonly id: string }) {
  return { account, requestId: `${account}-${id}` };
}

interface Made {
  readonly made: { readonly prompt: number; readonly completion: number };
}

function usageOf({ made: { prompt, completion } }: Made) {
  return usage(prompt, completion);
}

function settlementOf(each: Made & Pick<Settlement, "source" | "isFree">): Settlement {
  return completed(usageOf(each), { source: each.source, isFree: each.isFree });
}

function byId(one: { readonly requestId: string }, other: { readonly requestId: string }): number {
  return one.requestId < other.requestId ? -1 : 1;
}
