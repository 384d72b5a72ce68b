import { afterEach, describe, expect, it } from "vitest";
import type { Hold, Receipt, Settlement } from "../../shared/ledger.ts";
import type { Store } from "../../shared/store.ts";
import { completed, holdOf, type MakeStore, usage } from "./ledger-fixtures.ts";

const HOUR_MS = 3_600_000;
const START = Date.UTC(2026, 10, 15, 0);

/** Every promise of `shared/books.ts`. */
export function booksContract(name: string, makeStore: MakeStore): void {
  describe(`${name} keeps the books' promises`, () => {
    let now = START;
    const opened: Store[] = [];
    afterEach(async () => {
      await Promise.all(opened.splice(0).map((store) => store.close()));
    });
    const open = async (webhooks: readonly string[] = []) => {
      now = START;
      const store = await makeStore({ now: () => now, webhooks });
      opened.push(store);
      return store;
    };
    /** A request from its hold to its receipt, settled at `at`. */
    const serve = async (
      { ledger }: Store,
      requestId: string,
      at: number,
      more: Partial<Hold> = {},
      settled: Partial<Settlement> = {},
    ): Promise<Receipt> => {
      now = at;
      const hold = holdOf({ requestId, isPrepaid: false, ...more });
      await ledger.hold(hold);
      return await ledger.settle(hold, completed(usage(3, 2), settled));
    };

    it("names every account with a credit, a hold or a receipt", async () => {
      const store = await open();
      expect(await store.books.accounts()).toEqual([]);
      await store.ledger.credit("dan", { id: "1", amountNanoUsd: 1 });
      await serve(store, "r1", START, { account: "cy" });
      await store.ledger.hold(holdOf({ requestId: "r2", account: "bob", isPrepaid: false }));
      expect(await store.books.accounts()).toEqual(["bob", "cy", "dan"]);
    });

    it("finds a receipt by its account and id, as it was settled", async () => {
      const store = await open();
      const receipt = await serve(store, "r1", START, {}, { backend: "gpu-box", ttftMs: null });
      expect(await store.books.receipt({ account: "ann", requestId: "r1" })).toEqual(receipt);
      expect(await store.books.receipt({ account: "bob", requestId: "r1" })).toBeUndefined();
      expect(await store.books.receipt({ account: "ann", requestId: "r2" })).toBeUndefined();
    });

    it("lists receipts oldest first, page by page, also of the same millisecond and of what comes meanwhile", async () => {
      const store = await open();
      for (const [id, at] of [
        ["c", 0],
        ["a", 0],
        ["b", 0],
        ["d", 1],
        ["e", 2],
      ] as const)
        await serve(store, id, START + at, { account: id < "c" ? "ann" : "bob" });
      const seen: string[] = [];
      let after: string | undefined;
      do {
        const page = await store.books.receipts({ limit: 2, after });
        seen.push(...page.receipts.map(({ requestId }) => requestId));
        if (seen.length === 2) await serve(store, "f", START + 3);
        after = page.next ?? undefined;
      } while (after !== undefined);
      expect(seen).toEqual(["a", "b", "c", "d", "e", "f"]);
    });

    it("lists only what is asked for: account, key, model, from and to", async () => {
      const store = await open();
      await serve(store, "r1", START, { account: "ann", keyId: "k1", model: "m" });
      await serve(store, "r2", START + 1, { account: "ann", keyId: "k2", model: "n" });
      await serve(store, "r3", START + 2, { account: "bob", keyId: "k3", model: "m" });
      const ids = async (filter: object) =>
        (await store.books.receipts({ limit: 10, ...filter })).receipts.map(({ requestId }) => requestId);
      expect(await ids({ account: "ann" })).toEqual(["r1", "r2"]);
      expect(await ids({ keyId: "k2" })).toEqual(["r2"]);
      expect(await ids({ model: "m" })).toEqual(["r1", "r3"]);
      expect(await ids({ from: START + 1, to: START + 2 })).toEqual(["r2"]);
      expect(await ids({ account: "ann", model: "n", from: START + 2 })).toEqual([]);
    });

    it("adds receipts up by bucket and group, and leaves out what is empty", async () => {
      const store = await open();
      await serve(store, "r1", START, { model: "m", keyId: "k1" });
      await serve(store, "r2", START + HOUR_MS - 1, { model: "m", keyId: "k2" });
      await serve(store, "r3", START + 2 * HOUR_MS, { model: "n", keyId: null });
      await serve(store, "r4", START + 2 * HOUR_MS, { model: "n", route: "embeddings", keyId: null });
      const query = { from: START, to: START + 24 * HOUR_MS, bucketMs: HOUR_MS };
      const cost = 7000;
      expect(await store.books.totals({ ...query, groupBy: [] })).toEqual([
        { start: START, requests: 2, usage: usage(6, 4), costNanoUsd: 2 * cost },
        { start: START + 2 * HOUR_MS, requests: 2, usage: usage(6, 4), costNanoUsd: 2 * cost },
      ]);
      const chats = await store.books.totals({ ...query, groupBy: ["model"], routes: ["chat"] });
      expect(chats).toMatchObject([
        { start: START, model: "m", requests: 2 },
        { start: START + 2 * HOUR_MS, model: "n", requests: 1 },
      ]);
      const byKey = await store.books.totals({
        ...query,
        bucketMs: 24 * HOUR_MS,
        groupBy: ["account", "key"],
      });
      expect(byKey.map(({ account, keyId, requests }) => [account, keyId, requests])).toEqual(
        expect.arrayContaining([
          ["ann", null, 2],
          ["ann", "k1", 1],
          ["ann", "k2", 1],
        ]),
      );
      expect(await store.books.totals({ ...query, account: "bob", groupBy: [] })).toEqual([]);
    });

    it("keeps each receipt for each webhook until it is delivered, or given up", async () => {
      const store = await open(["a", "b"]);
      const { books } = store;
      const receipt = await serve(store, "r1", START);
      const due = (at: number) => books.due(at, 10);
      expect(await due(START - 1)).toEqual([]);
      const first = await due(START);
      expect(first).toEqual([
        { webhook: "a", receipt, attempts: 0 },
        { webhook: "b", receipt, attempts: 0 },
      ]);
      const [a, b] = first;
      if (a === undefined || b === undefined) throw new Error("Two were due");
      await books.delivered(a);
      await books.postpone(b, START + 1000);
      expect(await due(START + 999)).toEqual([]);
      const again = await due(START + 1000);
      expect(again).toEqual([{ webhook: "b", receipt, attempts: 1 }]);
      await books.postpone(b, null);
      expect(await due(START + HOUR_MS)).toEqual([]);
    });

    it("tells a webhook of lost requests too, once", async () => {
      const store = await open(["a"]);
      now = START;
      await store.ledger.hold(holdOf({ isPrepaid: false }));
      await store.ledger.sweep(START + HOUR_MS);
      await store.ledger.settle(holdOf(), completed(usage(1, 1)));
      expect(await store.books.due(START, 10)).toMatchObject([{ receipt: { outcome: "lost" } }]);
    });

    it("says no more than asked of what is due, the longest waiting first", async () => {
      const store = await open(["a"]);
      for (const [index, id] of ["r3", "r1", "r2"].entries()) await serve(store, id, START + index);
      const two = await store.books.due(START + HOUR_MS, 2);
      expect(two.map(({ receipt }) => receipt.requestId)).toEqual(["r3", "r1"]);
    });

    it("verify what was written by every kind of call", async () => {
      const store = await open(["a"]);
      await store.ledger.credit("ann", { id: "1", amountNanoUsd: 10 ** 6 });
      const scopes = [{ name: "account", limits: { concurrentRequests: 9, monthlyNanoUsd: 10 ** 6 } }];
      await serve(store, "r1", START, { scopes });
      await serve(store, "r2", START, { scopes }, { isFree: true });
      for (const requestId of ["r3", "r4", "r5"]) await store.ledger.hold(holdOf({ requestId, scopes }));
      await store.ledger.void({ account: "ann", requestId: "r3" });
      expect(await store.books.verify()).toEqual([]);
      await store.ledger.sweep(START + HOUR_MS);
      expect(await store.books.verify()).toEqual([]);
    });
  });
}
