import { expect, it } from "vitest";
import { createMemoryLedger } from "../../shared/memory-ledger.ts";
import { NO_USAGE } from "../../shared/openai/usage.ts";
import { FREE } from "../../shared/pricing.ts";

it("keeps so many receipts and no more, the oldest dropped first; money is not forgotten with them", async () => {
  const price = { ...FREE, promptPicoUsd: 1000 };
  const ledger = createMemoryLedger({ now: () => 0, credits: { ann: 100 }, receiptLimit: 2 });
  const settlement = {
    usage: { ...NO_USAGE, promptTokens: 5 },
    basis: "exact",
    outcome: "completed",
  } as const;
  for (const requestId of ["r1", "r2", "r3"]) {
    await ledger.hold({ account: "ann", requestId, model: "m", price, amount: 10, leaseMs: 1 });
    expect(await ledger.settle(requestId, settlement)).toMatchObject({ costNanoUsd: 5 });
  }
  await expect(ledger.settle("r1", settlement)).rejects.toThrow("r1");
  expect(await ledger.settle("r3", settlement)).toMatchObject({ requestId: "r3" });
  expect(await ledger.balance("ann")).toEqual({ balanceNanoUsd: 85, heldNanoUsd: 0, spentNanoUsd: 15 });
});
