import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Hold } from "../../shared/ledger.ts";
import type { Store } from "../../shared/store.ts";
import {
  CREDIT,
  completed,
  holdOf,
  LEASE_MS,
  type MakeStore,
  NOW,
  PRICE,
  R1,
  type Reopen,
  reading,
  usage,
} from "./ledger-fixtures.ts";
import { limitsContract } from "./ledger-limits.ts";
import { checkAgainstModel, checkAllAtOnce } from "./ledger-properties.ts";

/** Every promise of `shared/ledger.ts`, state by state. `reopen`: where a store outlives its process. */
export function ledgerContract(name: string, makeStore: MakeStore, reopen?: Reopen): void {
  describe(`${name} keeps the ledger's promises`, () => {
    const opened: Store[] = [];
    afterEach(async () => {
      await Promise.all(opened.splice(0).map((store) => store.close()));
    });
    let now = NOW;
    beforeEach(() => {
      now = NOW;
    });
    const open = async () => {
      const store = await makeStore({ now: () => now, webhooks: [] });
      opened.push(store);
      return store;
    };
    /** A ledger in which ann has credit. */
    const withCredit = async () => {
      const { ledger } = await open();
      await ledger.credit("ann", { id: "start", amountNanoUsd: CREDIT });
      return ledger;
    };
    const whole = {
      creditedNanoUsd: CREDIT,
      availableNanoUsd: CREDIT,
      heldNanoUsd: 0,
      spentNanoUsd: 0,
    };

    describe("credit", () => {
      it("is added once for each id", async () => {
        const ledger = await withCredit();
        const again = await ledger.credit("ann", { id: "start", amountNanoUsd: 5 });
        expect(again).toEqual({ ok: true, isRepeat: true, balance: whole });
        const more = await ledger.credit("ann", { id: "more", amountNanoUsd: 5 });
        expect(more).toMatchObject({ ok: true, isRepeat: false, balance: { availableNanoUsd: CREDIT + 5 } });
      });

      it("is taken back down to what is available, never below", async () => {
        const ledger = await withCredit();
        await ledger.hold(holdOf());
        const tooMuch = await ledger.credit("ann", { id: "back", amountNanoUsd: -CREDIT });
        expect(tooMuch).toEqual({ ok: false, availableNanoUsd: CREDIT - 10_000 });
        const back = await ledger.credit("ann", { id: "back", amountNanoUsd: 10_000 - CREDIT });
        expect(back).toMatchObject({ ok: true, balance: { availableNanoUsd: 0, heldNanoUsd: 10_000 } });
      });
    });

    describe("an unknown request", () => {
      it("is held, and what is held leaves the balance", async () => {
        const ledger = await withCredit();
        expect(await ledger.hold(holdOf())).toEqual({
          ok: true,
          heldNanoUsd: 10_000,
          isRepeat: false,
          limits: [],
        });
        expect(await ledger.balance("ann")).toEqual({
          ...whole,
          availableNanoUsd: CREDIT - 10_000,
          heldNanoUsd: 10_000,
        });
      });

      it("may hold exactly what is there, and is refused for a nano-dollar more", async () => {
        const ledger = await withCredit();
        expect(await ledger.hold(holdOf({ amount: CREDIT + 1 }))).toEqual({
          ok: false,
          reason: "insufficient_quota",
          scope: null,
          availableNanoUsd: CREDIT,
        });
        expect(await ledger.hold(holdOf({ amount: CREDIT }))).toMatchObject({ ok: true });
      });

      it("is refused without a trace: it may be held when there is money", async () => {
        const ledger = await withCredit();
        await ledger.hold(holdOf({ requestId: "big", amount: CREDIT }));
        expect(await ledger.hold(holdOf())).toMatchObject({ ok: false, reason: "insufficient_quota" });
        expect(await ledger.balance("ann")).toMatchObject({ heldNanoUsd: CREDIT, spentNanoUsd: 0 });
        await ledger.void({ account: "ann", requestId: "big" });
        expect(await ledger.hold(holdOf())).toMatchObject({ ok: true });
      });

      it("of an account that pays later needs no credit, and what is available goes below zero", async () => {
        const { ledger } = await open();
        expect(await ledger.hold(holdOf({ isPrepaid: false, amount: 10 ** 12 }))).toMatchObject({ ok: true });
        expect(await ledger.balance("ann")).toEqual({
          creditedNanoUsd: 0,
          availableNanoUsd: -(10 ** 12),
          heldNanoUsd: 10 ** 12,
          spentNanoUsd: 0,
        });
      });

      it("is nothing to checkpoint or void, and can't be settled", async () => {
        const ledger = await withCredit();
        await ledger.checkpoint(R1, reading(usage(1, 1)));
        await ledger.void(R1);
        await expect(ledger.settle(R1, completed(usage(1, 1)))).rejects.toThrow();
        expect(await ledger.balance("ann")).toEqual(whole);
        expect(await ledger.hold(holdOf())).toMatchObject({ ok: true });
      });
    });

    describe("a held request", () => {
      it("is held once: a second hold is a repeat, whatever it asks", async () => {
        const ledger = await withCredit();
        await ledger.hold(holdOf());
        const again = await ledger.hold(holdOf({ amount: 99 }));
        expect(again).toMatchObject({ ok: true, heldNanoUsd: 10_000, isRepeat: true });
        expect(await ledger.balance("ann")).toMatchObject({ heldNanoUsd: 10_000 });
      });

      it("is charged what it used, the rest is free again, and the receipt says all of it", async () => {
        const ledger = await withCredit();
        const hold = holdOf();
        await ledger.hold(hold);
        now += 5;
        const settlement = completed(usage(3, 2), { backend: "gpu-box", engine: "openai" });
        const receipt = await ledger.settle(R1, settlement);
        expect(receipt).toEqual({
          ...settlement,
          ...R1,
          keyId: "key",
          route: "chat",
          model: "m",
          price: PRICE,
          costNanoUsd: 7000,
          heldAt: now - 5,
          settledAt: now,
        });
        expect(await ledger.balance("ann")).toEqual({
          ...whole,
          availableNanoUsd: CREDIT - 7000,
          spentNanoUsd: 7000,
        });
      });

      it("is never charged more than was held", async () => {
        const ledger = await withCredit();
        await ledger.hold(holdOf());
        const receipt = await ledger.settle(R1, completed(usage(1000, 1000)));
        expect(receipt).toMatchObject({ costNanoUsd: 10_000 });
      });

      it("pays its own price for cached and for reasoning tokens", async () => {
        const ledger = await withCredit();
        await ledger.hold(holdOf({ amount: 100_000 }));
        const used = { promptTokens: 5, cachedTokens: 4, completionTokens: 3, reasoningTokens: 2 };
        const receipt = await ledger.settle(R1, completed(used));
        expect(receipt.costNanoUsd).toBe(1000 + 4 * 100 + 2000 + 2 * 3000);
      });

      it("is counted and not charged where it is free", async () => {
        const ledger = await withCredit();
        await ledger.hold(holdOf());
        const receipt = await ledger.settle(R1, completed(usage(3, 2), { isFree: true }));
        expect(receipt).toMatchObject({ costNanoUsd: 0, usage: usage(3, 2), isFree: true });
        expect(await ledger.balance("ann")).toEqual(whole);
      });

      it("is freed whole by void, and may be held again", async () => {
        const ledger = await withCredit();
        await ledger.hold(holdOf());
        await ledger.checkpoint(R1, reading(usage(3, 2)));
        await ledger.void(R1);
        await ledger.void(R1);
        expect(await ledger.balance("ann")).toEqual(whole);
        await expect(ledger.settle(R1, completed(usage(3, 2)))).rejects.toThrow();
        expect(await ledger.hold(holdOf())).toMatchObject({ ok: true, isRepeat: false });
      });

      it("isn't charged by a checkpoint", async () => {
        const ledger = await withCredit();
        await ledger.hold(holdOf());
        await ledger.checkpoint(R1, reading(usage(3, 2)));
        expect(await ledger.balance("ann")).toMatchObject({ heldNanoUsd: 10_000, spentNanoUsd: 0 });
      });

      it("is its account's: others don't see it, and keep their money", async () => {
        const ledger = await withCredit();
        await ledger.credit("bob", { id: "start", amountNanoUsd: CREDIT });
        await ledger.hold(holdOf());
        await ledger.void({ account: "bob", requestId: "r1" });
        await ledger.settle(R1, completed(usage(3, 2)));
        expect(await ledger.balance("bob")).toEqual(whole);
        expect(await ledger.balance("ann")).toMatchObject({ spentNanoUsd: 7000 });
      });
    });

    describe("a settled request", () => {
      it("is settled once: a second settle returns the first receipt", async () => {
        const ledger = await withCredit();
        await ledger.hold(holdOf());
        const first = await ledger.settle(R1, completed(usage(3, 2)));
        now += 5;
        const again = await ledger.settle(R1, completed(usage(5, 0), { outcome: "timeout" }));
        expect(again).toEqual(first);
        expect(await ledger.balance("ann")).toMatchObject({ spentNanoUsd: 7000 });
      });

      it("is charged once when two settle at the same time", async () => {
        const ledger = await withCredit();
        await ledger.hold(holdOf());
        const [one, other] = await Promise.all([
          ledger.settle(R1, completed(usage(3, 2))),
          ledger.settle(R1, completed(usage(1, 1))),
        ]);
        expect(other).toEqual(one);
        expect(await ledger.balance("ann")).toMatchObject({ spentNanoUsd: one.costNanoUsd, heldNanoUsd: 0 });
      });

      it("is a duplicate to hold, and nothing to checkpoint or void", async () => {
        const ledger = await withCredit();
        await ledger.hold(holdOf());
        const receipt = await ledger.settle(R1, completed(usage(3, 2)));
        await ledger.checkpoint(R1, reading(usage(4, 3)));
        await ledger.void(R1);
        expect(await ledger.hold(holdOf())).toEqual({ ok: false, reason: "duplicate", receipt });
        expect(await ledger.balance("ann")).toMatchObject({ heldNanoUsd: 0, spentNanoUsd: 7000 });
      });
    });

    describe("a sweep", () => {
      it("settles a lost request at its last checkpoint, once", async () => {
        const ledger = await withCredit();
        await ledger.hold(holdOf());
        await ledger.checkpoint(R1, reading(usage(1, 1)));
        await ledger.checkpoint(R1, reading(usage(3, 2)));
        expect(await ledger.sweep(now + LEASE_MS)).toBe(1);
        expect(await ledger.sweep(now + LEASE_MS)).toBe(0);
        expect(await ledger.balance("ann")).toMatchObject({ heldNanoUsd: 0, spentNanoUsd: 7000 });
        const receipt = await ledger.settle(R1, completed(usage(5, 2)));
        expect(receipt).toMatchObject({ outcome: "lost", usage: usage(3, 2), costNanoUsd: 7000 });
      });

      it("charges nothing for a request that never reached a checkpoint", async () => {
        const ledger = await withCredit();
        await ledger.hold(holdOf());
        expect(await ledger.sweep(now + LEASE_MS)).toBe(1);
        expect(await ledger.balance("ann")).toEqual(whole);
        expect(await ledger.hold(holdOf())).toMatchObject({ ok: false, reason: "duplicate" });
      });

      it("leaves a hold alone whose lease a checkpoint renewed", async () => {
        const ledger = await withCredit();
        await ledger.hold(holdOf());
        now += LEASE_MS - 1;
        expect(await ledger.sweep(now)).toBe(0);
        await ledger.checkpoint(R1, reading(usage(1, 1)));
        now += LEASE_MS - 1;
        expect(await ledger.sweep(now)).toBe(0);
        expect(await ledger.sweep(now + 1)).toBe(1);
      });
    });

    it("never lets concurrent holds promise more than there is", async () => {
      const ledger = await withCredit();
      const holds: Hold[] = Array.from({ length: 20 }, (_, i) =>
        holdOf({ requestId: `r${i}`, amount: CREDIT / 10 }),
      );
      const results = await Promise.all(holds.map((hold) => ledger.hold(hold)));
      expect(results.filter(({ ok }) => ok)).toHaveLength(10);
      expect(await ledger.balance("ann")).toMatchObject({ availableNanoUsd: 0, heldNanoUsd: CREDIT });
    });

    limitsContract(open, (ms) => {
      now += ms;
    });

    it("keeps its promises whatever happens in whatever order", () => checkAgainstModel(makeStore, reopen));

    it("keeps its promises whatever is asked at once", () => checkAllAtOnce(makeStore));
  });
}
