import { describe, expect, it } from "vitest";
import type { Limits } from "../../shared/ledger.ts";
import type { Store } from "../../shared/store.ts";
import { completed, holdOf, LEASE_MS, NOW, reading, usage } from "./ledger-fixtures.ts";

const NEXT_MONTH_MS = Date.UTC(2026, 11, 1) - NOW;

/** What scopes promise. `wait` moves the store's clock. */
export function limitsContract(open: () => Promise<Store>, wait: (ms: number) => void): void {
  describe("limits", () => {
    /** Holds `r<n>` against scopes of those limits, by name. */
    const setUp = async (limits: Readonly<Record<string, Limits>>) => {
      const { ledger } = await open();
      const scopes = Object.entries(limits).map(([name, of]) => ({ name, limits: of }));
      const hold = (n: number, more = {}) =>
        ledger.hold(holdOf({ requestId: `r${n}`, isPrepaid: false, scopes, ...more }));
      const ref = (n: number) => ({ account: "ann", requestId: `r${n}` });
      return { ledger, hold, ref };
    };
    const limited = (resource: string, more = {}) => ({
      ok: false,
      reason: "rate_limited",
      scope: "account",
      resource,
      ...more,
    });

    it("on requests a minute allow a burst of a minute's worth, then one for each that has flowed back", async () => {
      const { hold } = await setUp({ account: { requestsPerMinute: 3 } });
      for (const n of [1, 2, 3]) expect(await hold(n)).toMatchObject({ ok: true });
      expect(await hold(4)).toMatchObject(limited("requests", { limit: 3, retryAfterMs: 20_000 }));
      wait(19_999);
      expect(await hold(4)).toMatchObject(limited("requests", { retryAfterMs: 1 }));
      wait(1);
      expect(await hold(4)).toMatchObject({ ok: true });
      expect(await hold(5)).toMatchObject(limited("requests", { retryAfterMs: 20_000 }));
    });

    it("say what they leave", async () => {
      const { hold } = await setUp({ account: { requestsPerMinute: 60, tokensPerMinute: 600 } });
      expect(await hold(1, { tokens: 100 })).toMatchObject({
        limits: [
          { scope: "account", resource: "requests", limit: 60, remaining: 59, resetMs: 1000 },
          { scope: "account", resource: "tokens", limit: 600, remaining: 500, resetMs: 10_000 },
        ],
      });
      const refused = await hold(2, { tokens: 501 });
      expect(refused).toMatchObject(limited("tokens", { retryAfterMs: 100 }));
      expect(refused).toMatchObject({ limits: [{ remaining: 59 }, { remaining: 500 }] });
    });

    it("on tokens a minute give the surplus back when a request is settled, and all of it when it is voided", async () => {
      const { ledger, hold, ref } = await setUp({ account: { tokensPerMinute: 100 } });
      await hold(1, { tokens: 90 });
      expect(await hold(2, { tokens: 11 })).toMatchObject(limited("tokens"));
      await ledger.settle(ref(1), completed(usage(4, 6)));
      await hold(2, { tokens: 90 });
      expect(await hold(3, { tokens: 1 })).toMatchObject(limited("tokens"));
      await ledger.void(ref(2));
      expect(await hold(3, { tokens: 90 })).toMatchObject({ ok: true });
    });

    it("give nothing back for a count that is only a lower bound", async () => {
      const { ledger, hold, ref } = await setUp({ account: { tokensPerMinute: 100 } });
      await hold(1, { tokens: 90 });
      await ledger.settle(ref(1), completed(usage(4, 6), { source: "counted" }));
      expect(await hold(2, { tokens: 11 })).toMatchObject(limited("tokens"));
    });

    it("never let through what is more than a minute's worth, and say that waiting doesn't help", async () => {
      const { hold } = await setUp({ account: { tokensPerMinute: 100 } });
      expect(await hold(1, { tokens: 101 })).toMatchObject(limited("tokens", { retryAfterMs: null }));
      expect(await hold(1, { tokens: 100 })).toMatchObject({ ok: true });
    });

    it("don't make anybody wait longer for a request that was refused", async () => {
      const { hold } = await setUp({ account: { tokensPerMinute: 100, requestsPerMinute: 10 } });
      await hold(1, { tokens: 50 });
      for (let n = 0; n < 20; n++) expect(await hold(2, { tokens: 100 })).toMatchObject(limited("tokens"));
      expect(await hold(2, { tokens: 50 })).toMatchObject({
        ok: true,
        limits: [{ remaining: 8 }, { remaining: 0 }],
      });
    });

    it("on concurrent requests count holds, until they are settled, voided or swept", async () => {
      const { ledger, hold, ref } = await setUp({ account: { concurrentRequests: 2 } });
      await hold(1);
      await hold(2);
      expect(await hold(3)).toMatchObject(limited("concurrent", { limit: 2 }));
      await ledger.settle(ref(1), completed(usage(1, 1)));
      await hold(3);
      await ledger.void(ref(2));
      await hold(4);
      expect(await hold(5)).toMatchObject(limited("concurrent"));
      wait(LEASE_MS);
      await ledger.checkpoint(ref(4), reading(usage(1, 1)));
      expect(await ledger.sweep(NOW + LEASE_MS)).toBe(1);
      expect(await hold(5)).toMatchObject({ ok: true });
    });

    it("on a month's money count what is held and spent, until the month is over", async () => {
      const { ledger, hold, ref } = await setUp({ account: { monthlyNanoUsd: 20_000 } });
      await hold(1);
      await ledger.settle(ref(1), completed(usage(3, 2)));
      await hold(2);
      expect(await hold(3)).toEqual({
        ok: false,
        reason: "insufficient_quota",
        scope: "account",
        availableNanoUsd: 3000,
      });
      await ledger.settle(ref(2), completed(usage(10, 0)));
      expect(await hold(3, { amount: 3000 })).toMatchObject({ ok: true });
      await ledger.void(ref(3));
      wait(NEXT_MONTH_MS);
      expect(await hold(4, { amount: 20_000 })).toMatchObject({ ok: true });
      expect(await hold(5, { amount: 1 })).toMatchObject({ ok: false, reason: "insufficient_quota" });
    });

    it("charge a request to the month in which it is settled", async () => {
      const { ledger, hold, ref } = await setUp({ account: { monthlyNanoUsd: 20_000 } });
      await hold(1);
      wait(NEXT_MONTH_MS);
      await ledger.settle(ref(1), completed(usage(10, 0)));
      expect(await hold(2, { amount: 10_001 })).toMatchObject({ ok: false, availableNanoUsd: 10_000 });
    });

    it("on money for ever are not renewed by a month", async () => {
      const { ledger, hold, ref } = await setUp({ account: { totalNanoUsd: 20_000 } });
      await hold(1);
      await ledger.settle(ref(1), completed(usage(10, 0)));
      wait(NEXT_MONTH_MS);
      expect(await hold(2, { amount: 10_001 })).toMatchObject({ ok: false, availableNanoUsd: 10_000 });
      expect(await hold(2, { amount: 10_000 })).toMatchObject({ ok: true });
    });

    it("of several scopes hold together: what one refuses, none has taken", async () => {
      const { hold } = await setUp({
        account: { requestsPerMinute: 100, concurrentRequests: 100, monthlyNanoUsd: 100_000 },
        "model:m": { tokensPerMinute: 1000 },
        "key:key": { requestsPerMinute: 2 },
      });
      await hold(1);
      await hold(2);
      for (const n of [3, 4, 5]) expect(await hold(n)).toMatchObject({ ok: false, scope: "key:key" });
      wait(30_000);
      const after = await hold(3);
      // Two before, half a minute's flow since, and this one: the refused ones took nothing.
      expect(after).toMatchObject({ ok: true });
      expect(after.ok && after.limits.find(({ scope }) => scope === "account")?.remaining).toBe(99);
      expect(after.ok && after.limits.find(({ scope }) => scope === "model:m")?.remaining).toBe(990);
    });

    it("let through exactly as many as there is room for, however many ask at once", async () => {
      const { hold } = await setUp({ account: { concurrentRequests: 7, requestsPerMinute: 30 } });
      const results = await Promise.all(Array.from({ length: 40 }, (_, n) => hold(n)));
      expect(results.filter(({ ok }) => ok)).toHaveLength(7);
    });
  });
}
