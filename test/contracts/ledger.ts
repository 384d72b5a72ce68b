import { afterEach, describe, expect, it } from "vitest";
import type { Hold, HoldResult, Ledger } from "../../shared/ledger.ts";
import { CREDIT, checkAgainstModel, completed, LEASE_MS, PRICE, usage } from "./ledger-model.ts";

export interface LedgerSetup {
  /** The ledger's clock, Unix ms. */
  readonly now: () => number;
  /** Nano-dollars an account starts with; an account not named here is unlimited. */
  readonly credits: Readonly<Record<string, number>>;
}

/** Every promise of `shared/ledger.ts`, state by state. */
export function ledgerContract(
  name: string,
  makeLedger: (setup: LedgerSetup) => Ledger | Promise<Ledger>,
): void {
  describe(`${name} keeps the ledger's promises`, () => {
    let opened: Ledger[] = [];
    afterEach(async () => {
      await Promise.all(opened.map((ledger) => ledger.close()));
      opened = [];
    });
    let now = 1_000_000;
    const open = async (credits: Record<string, number> = { ann: CREDIT }) => {
      const ledger = await makeLedger({ now: () => now, credits });
      opened.push(ledger);
      return ledger;
    };
    const hold = (ledger: Ledger, more: Partial<Hold> = {}): Promise<HoldResult> =>
      ledger.hold({
        account: "ann",
        requestId: "r1",
        model: "m",
        price: PRICE,
        amount: 10_000,
        leaseMs: LEASE_MS,
        ...more,
      });

    describe("an unknown request", () => {
      it("is held, and what is held leaves the balance", async () => {
        const ledger = await open();
        expect(await hold(ledger)).toEqual({ ok: true, heldNanoUsd: 10_000 });
        expect(await ledger.balance("ann")).toEqual({
          balanceNanoUsd: CREDIT - 10_000,
          heldNanoUsd: 10_000,
          spentNanoUsd: 0,
        });
      });

      it("may hold exactly what is there, and is refused for a nano-dollar more", async () => {
        const ledger = await open();
        expect(await hold(ledger, { amount: CREDIT + 1 })).toEqual({
          ok: false,
          reason: "insufficient_quota",
          availableNanoUsd: CREDIT,
        });
        expect(await hold(ledger, { amount: CREDIT })).toMatchObject({ ok: true });
      });

      it("is refused without a trace: it may be held when there is money", async () => {
        const ledger = await open();
        await hold(ledger, { requestId: "big", amount: CREDIT });
        expect(await hold(ledger)).toMatchObject({ ok: false, reason: "insufficient_quota" });
        expect(await ledger.balance("ann")).toMatchObject({ heldNanoUsd: CREDIT, spentNanoUsd: 0 });
        await ledger.void("big");
        expect(await hold(ledger)).toMatchObject({ ok: true });
      });

      it("has no limit on an account without credit", async () => {
        const ledger = await open({});
        expect(await hold(ledger, { amount: 10 ** 12 })).toMatchObject({ ok: true });
        expect(await ledger.balance("ann")).toEqual({
          balanceNanoUsd: null,
          heldNanoUsd: 10 ** 12,
          spentNanoUsd: 0,
        });
      });

      it("is nothing to checkpoint or void, and can't be settled", async () => {
        const ledger = await open();
        await ledger.checkpoint("r1", usage(1, 1));
        await ledger.void("r1");
        await expect(ledger.settle("r1", completed(usage(1, 1)))).rejects.toThrow();
        expect(await ledger.balance("ann")).toEqual({
          balanceNanoUsd: CREDIT,
          heldNanoUsd: 0,
          spentNanoUsd: 0,
        });
        expect(await hold(ledger)).toMatchObject({ ok: true });
      });
    });

    describe("a held request", () => {
      it("is held once: a second hold returns the same one", async () => {
        const ledger = await open();
        await hold(ledger);
        expect(await hold(ledger, { amount: 99 })).toEqual({ ok: true, heldNanoUsd: 10_000 });
        expect(await ledger.balance("ann")).toMatchObject({ heldNanoUsd: 10_000 });
      });

      it("is charged what it used, and the rest is free again", async () => {
        const ledger = await open();
        await hold(ledger);
        now += 5;
        const receipt = await ledger.settle("r1", completed(usage(3, 2)));
        expect(receipt).toEqual({
          requestId: "r1",
          account: "ann",
          model: "m",
          usage: usage(3, 2),
          basis: "exact",
          outcome: "completed",
          costNanoUsd: 7000,
          heldAt: now - 5,
          settledAt: now,
        });
        expect(await ledger.balance("ann")).toEqual({
          balanceNanoUsd: CREDIT - 7000,
          heldNanoUsd: 0,
          spentNanoUsd: 7000,
        });
      });

      it("is never charged more than was held", async () => {
        const ledger = await open();
        await hold(ledger);
        expect(await ledger.settle("r1", completed(usage(1000, 1000)))).toMatchObject({
          costNanoUsd: 10_000,
        });
      });

      it("pays the cached price for the cached part of its prompt", async () => {
        const ledger = await open();
        await hold(ledger);
        const used = { ...usage(5, 0), cachedTokens: 4 };
        expect(await ledger.settle("r1", completed(used))).toMatchObject({ costNanoUsd: 1400 });
      });

      it("is freed whole by void", async () => {
        const ledger = await open();
        await hold(ledger);
        await ledger.checkpoint("r1", usage(3, 2));
        await ledger.void("r1");
        expect(await ledger.balance("ann")).toEqual({
          balanceNanoUsd: CREDIT,
          heldNanoUsd: 0,
          spentNanoUsd: 0,
        });
      });

      it("isn't charged by a checkpoint", async () => {
        const ledger = await open();
        await hold(ledger);
        await ledger.checkpoint("r1", usage(3, 2));
        expect(await ledger.balance("ann")).toMatchObject({ heldNanoUsd: 10_000, spentNanoUsd: 0 });
      });

      it("leaves the accounts of others alone", async () => {
        const ledger = await open({ ann: CREDIT, bob: CREDIT });
        await hold(ledger);
        await ledger.settle("r1", completed(usage(3, 2)));
        expect(await ledger.balance("bob")).toEqual({
          balanceNanoUsd: CREDIT,
          heldNanoUsd: 0,
          spentNanoUsd: 0,
        });
      });
    });

    describe("a settled request", () => {
      it("is settled once: a second settle returns the first receipt", async () => {
        const ledger = await open();
        await hold(ledger);
        const first = await ledger.settle("r1", completed(usage(3, 2)));
        now += 5;
        const again = await ledger.settle("r1", { usage: usage(5, 0), basis: "counted", outcome: "timeout" });
        expect(again).toEqual(first);
        expect(await ledger.balance("ann")).toMatchObject({ spentNanoUsd: 7000 });
      });

      it("is charged once when two settle at the same time", async () => {
        const ledger = await open();
        await hold(ledger);
        const [one, other] = await Promise.all([
          ledger.settle("r1", completed(usage(3, 2))),
          ledger.settle("r1", completed(usage(1, 1))),
        ]);
        expect(other).toEqual(one);
        expect(await ledger.balance("ann")).toMatchObject({ spentNanoUsd: one.costNanoUsd, heldNanoUsd: 0 });
      });

      it("is a duplicate to hold, and nothing to checkpoint or void", async () => {
        const ledger = await open();
        await hold(ledger);
        await ledger.settle("r1", completed(usage(3, 2)));
        await ledger.checkpoint("r1", usage(4, 3));
        await ledger.void("r1");
        expect(await hold(ledger)).toEqual({
          ok: false,
          reason: "duplicate",
          availableNanoUsd: CREDIT - 7000,
        });
        expect(await ledger.balance("ann")).toMatchObject({ heldNanoUsd: 0, spentNanoUsd: 7000 });
      });
    });

    describe("a voided request", () => {
      it("is a duplicate to hold, can't be settled, and is nothing to checkpoint or void", async () => {
        const ledger = await open();
        await hold(ledger);
        await ledger.void("r1");
        await ledger.void("r1");
        await ledger.checkpoint("r1", usage(4, 3));
        await expect(ledger.settle("r1", completed(usage(3, 2)))).rejects.toThrow();
        expect(await hold(ledger)).toMatchObject({ ok: false, reason: "duplicate" });
        expect(await ledger.balance("ann")).toMatchObject({ heldNanoUsd: 0, spentNanoUsd: 0 });
      });
    });

    describe("a sweep", () => {
      it("settles a lost request at its last checkpoint, once", async () => {
        const ledger = await open();
        await hold(ledger);
        await ledger.checkpoint("r1", usage(1, 1));
        await ledger.checkpoint("r1", usage(3, 2));
        expect(await ledger.sweep(now + LEASE_MS)).toBe(1);
        expect(await ledger.sweep(now + LEASE_MS)).toBe(0);
        expect(await ledger.balance("ann")).toMatchObject({ heldNanoUsd: 0, spentNanoUsd: 7000 });
        const receipt = await ledger.settle("r1", completed(usage(5, 2)));
        expect(receipt).toMatchObject({ outcome: "lost", usage: usage(3, 2), costNanoUsd: 7000 });
      });

      it("charges nothing for a request that never reached a checkpoint", async () => {
        const ledger = await open();
        await hold(ledger);
        expect(await ledger.sweep(now + LEASE_MS)).toBe(1);
        expect(await ledger.balance("ann")).toMatchObject({ balanceNanoUsd: CREDIT, heldNanoUsd: 0 });
      });

      it("leaves a hold alone whose lease a checkpoint renewed", async () => {
        const ledger = await open();
        await hold(ledger);
        now += LEASE_MS - 1;
        expect(await ledger.sweep(now)).toBe(0);
        await ledger.checkpoint("r1", usage(1, 1));
        now += LEASE_MS - 1;
        expect(await ledger.sweep(now)).toBe(0);
        expect(await ledger.sweep(now + 1)).toBe(1);
      });
    });

    it("never lets concurrent holds promise more than there is", async () => {
      const ledger = await open();
      const results = await Promise.all(
        Array.from({ length: 20 }, (_, i) => hold(ledger, { requestId: `r${i}`, amount: CREDIT / 10 })),
      );
      expect(results.filter(({ ok }) => ok)).toHaveLength(10);
      expect(await ledger.balance("ann")).toMatchObject({ balanceNanoUsd: 0, heldNanoUsd: CREDIT });
    });

    it("keeps balance + held + spent = credited, whatever happens in whatever order", () =>
      checkAgainstModel(async (clock) => {
        const ledger = await makeLedger({ now: () => clock.now, credits: { ann: CREDIT } });
        opened.push(ledger);
        return ledger;
      }));
  });
}
