import { expect, it } from "vitest";
import { completed, holdOf, NOW, usage } from "../../contracts/ledger-fixtures.ts";
import { memoryStore } from "../../harness/app.ts";

const MONTH_MS = 31 * 86_400_000;

it("adds a month up anew where the clock was set back into it", async () => {
  let now = NOW;
  const { ledger, books } = memoryStore(() => now);
  const scopes = [{ name: "account", limits: { monthlyNanoUsd: 20_000 } }];
  const serve = async (requestId: string) => {
    const hold = holdOf({ requestId, isPrepaid: false, scopes });
    const result = await ledger.hold(hold);
    if (result.ok) await ledger.settle(hold, completed(usage(5, 2)));
    return result;
  };
  await serve("november");
  now += MONTH_MS;
  await serve("december");
  now -= MONTH_MS;
  expect(await serve("november-2")).toMatchObject({ ok: true });
  expect(await serve("november-3")).toMatchObject({
    ok: false,
    reason: "insufficient_quota",
    availableNanoUsd: 20_000 - 2 * 9000,
  });
  now += MONTH_MS;
  expect(await serve("december-2")).toMatchObject({ ok: true });
  expect(await books.verify()).toEqual([]);
});

it("keeps a scope apart whose name holds quotes, another's account, or both", async () => {
  const { ledger, books } = memoryStore();
  const names = [`model:a"b`, "model:a\\'b", "bob model:x", "model:モデル"];
  const scopes = names.map((name) => ({ name, limits: { concurrentRequests: 1 } }));
  for (const account of ["ann", "bob"])
    expect(
      await ledger.hold(holdOf({ account, requestId: account, isPrepaid: false, scopes })),
    ).toMatchObject({
      ok: true,
    });
  expect(await ledger.hold(holdOf({ requestId: "r2", isPrepaid: false, scopes }))).toMatchObject({
    scope: names[0],
    resource: "concurrent",
  });
  expect(await books.verify()).toEqual([]);
});

it("refuses amounts that are no exact integers any more, and writes nothing of them", async () => {
  const { ledger, books } = memoryStore();
  const most = Number.MAX_SAFE_INTEGER;
  await ledger.credit("ann", { id: "1", amountNanoUsd: most });
  await expect(ledger.credit("ann", { id: "2", amountNanoUsd: 1 })).rejects.toThrow(RangeError);
  await ledger.hold(holdOf({ amount: most }));
  await expect(ledger.hold(holdOf({ requestId: "r2", isPrepaid: false }))).rejects.toThrow(RangeError);
  expect(await ledger.balance("ann")).toMatchObject({ creditedNanoUsd: most, heldNanoUsd: most });
  expect(await books.verify()).toEqual([]);
});
