import { afterEach, describe, expect, it } from "vitest";
import type { AccountRecord, KeyRecord } from "../../shared/directory.ts";
import type { Store } from "../../shared/store.ts";
import { type MakeStore, NOW } from "./ledger-fixtures.ts";

/** Every promise of `shared/directory.ts`. */
export function directoryContract(name: string, makeStore: MakeStore): void {
  describe(`${name} keeps the directory's promises`, () => {
    const opened: Store[] = [];
    afterEach(async () => {
      await Promise.all(opened.splice(0).map((store) => store.close()));
    });
    const open = async () => {
      const store = await makeStore({ now: () => NOW, webhooks: [] });
      opened.push(store);
      return store.directory;
    };
    const grant = { models: null, limits: {}, modelLimits: {}, labels: {} };
    const accountOf = (id: string, more: Partial<AccountRecord> = {}): AccountRecord => ({
      ...grant,
      id,
      isPrepaid: true,
      createdAt: NOW,
      ...more,
    });
    const keyOf = (id: string, more: Partial<KeyRecord> = {}): KeyRecord => ({
      ...grant,
      id,
      sha256: id.padEnd(64, "0"),
      hint: "abcd",
      account: "ann",
      createdAt: NOW,
      expiresAt: null,
      revokedAt: null,
      ...more,
    });

    it("is empty at first", async () => {
      const directory = await open();
      expect(await directory.keys()).toEqual([]);
      expect(await directory.accounts()).toEqual([]);
      expect(await directory.account("ann")).toBeUndefined();
      expect(await directory.findKey("0".repeat(64))).toBeUndefined();
    });

    it("finds a key by its hash, with its account, as both were written", async () => {
      const directory = await open();
      const account = accountOf("ann", {
        models: ["m"],
        limits: { requestsPerMinute: 5 },
        labels: { a: "b" },
      });
      const key = keyOf("k1", {
        models: ["m", "n"],
        limits: { tokensPerMinute: 7, totalNanoUsd: 9 },
        modelLimits: { m: { concurrentRequests: 2 } },
        labels: { team: "Ünïcode 北京" },
        expiresAt: NOW + 1,
      });
      await directory.putAccount(account);
      await directory.createKey(key);
      expect(await directory.findKey(key.sha256)).toEqual({ key, account });
      expect(await directory.findKey("f".repeat(64))).toBeUndefined();
    });

    it("makes an account that a key names first: it pays later, without limits", async () => {
      const directory = await open();
      await directory.createKey(keyOf("k1", { account: "new" }));
      expect(await directory.account("new")).toEqual(accountOf("new", { isPrepaid: false }));
    });

    it("refuses a key whose id or hash is taken, and leaves the first as it was", async () => {
      const directory = await open();
      const first = keyOf("k1");
      await directory.createKey(first);
      await expect(directory.createKey(keyOf("k1", { sha256: "a".repeat(64) }))).rejects.toThrow();
      await expect(directory.createKey(keyOf("k2", { sha256: first.sha256 }))).rejects.toThrow();
      expect(await directory.keys()).toEqual([first]);
    });

    it("revokes a key once, and still knows it", async () => {
      const directory = await open();
      await directory.createKey(keyOf("k1"));
      expect(await directory.revokeKey("nobody", NOW)).toBe(false);
      expect(await directory.revokeKey("k1", NOW + 1)).toBe(true);
      expect(await directory.revokeKey("k1", NOW + 2)).toBe(true);
      const found = await directory.findKey(keyOf("k1").sha256);
      expect(found?.key.revokedAt).toBe(NOW + 1);
    });

    it("lists keys by creation, all or an account's", async () => {
      const directory = await open();
      await directory.createKey(keyOf("k2", { createdAt: NOW + 1 }));
      await directory.createKey(keyOf("k3"));
      await directory.createKey(keyOf("k1", { account: "bob" }));
      expect((await directory.keys()).map(({ id }) => id)).toEqual(["k1", "k3", "k2"]);
      expect((await directory.keys("ann")).map(({ id }) => id)).toEqual(["k3", "k2"]);
    });

    it("sets everything of an account but when it was made", async () => {
      const directory = await open();
      await directory.putAccount(accountOf("ann"));
      const changed = { isPrepaid: false, limits: { monthlyNanoUsd: 5 }, createdAt: NOW + 5 };
      await directory.putAccount(accountOf("ann", changed));
      await directory.putAccount(accountOf("bob"));
      expect(await directory.account("ann")).toEqual(accountOf("ann", { ...changed, createdAt: NOW }));
      expect((await directory.accounts()).map(({ id }) => id)).toEqual(["ann", "bob"]);
    });
  });
}
