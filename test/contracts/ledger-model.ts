import fc from "fast-check";
import { expect } from "vitest";
import type { Ledger, Price, Settlement } from "../../shared/ledger.ts";
import { NO_USAGE, type Usage } from "../../shared/openai/usage.ts";
import { costNanoUsd } from "../../shared/pricing.ts";

/** A dollar a million: one nano-dollar buys a thousandth of a token, so that costs are easy to read. */
export const PRICE: Price = {
  promptPicoUsd: 1_000_000,
  cachedPromptPicoUsd: 100_000,
  completionPicoUsd: 2_000_000,
};
export const CREDIT = 1_000_000;
export const LEASE_MS = 1000;

export function usage(promptTokens: number, completionTokens: number): Usage {
  return { ...NO_USAGE, promptTokens, completionTokens };
}

export function completed(used: Usage): Settlement {
  return { usage: used, basis: "exact", outcome: "completed" };
}

/** Does at random what a ledger can be asked, beside a model of it, and compares after each step. */
export async function checkAgainstModel(
  makeLedger: (clock: { now: number }) => Promise<Ledger>,
): Promise<void> {
  await fc.assert(
    fc.asyncProperty(fc.array(action, { maxLength: 60 }), async (actions) => {
      const clock = { now: 1_000_000 };
      const ledger = await makeLedger(clock);
      const model = createModel();
      for (const each of actions) {
        if (each.kind === "wait") clock.now += each.ms;
        await expectSame(ledger, model, each, clock.now);
        const { balanceNanoUsd, heldNanoUsd, spentNanoUsd } = await ledger.balance("ann");
        expect(Math.min(balanceNanoUsd ?? 0, heldNanoUsd, spentNanoUsd)).toBeGreaterThanOrEqual(0);
        expect((balanceNanoUsd ?? 0) + heldNanoUsd + spentNanoUsd).toBe(CREDIT);
        expect({ heldNanoUsd, spentNanoUsd }).toEqual(model.totals());
      }
    }),
    { numRuns: 60 },
  );
}

const id = fc.constantFrom("r1", "r2", "r3", "r4");
const tokens = fc.record({ prompt: fc.nat(300), completion: fc.nat(300) });
const action = fc.oneof(
  fc.record({ kind: fc.constant("hold" as const), id, amount: fc.integer({ min: 1, max: CREDIT / 2 }) }),
  fc.record({ kind: fc.constant("checkpoint" as const), id, tokens }),
  fc.record({ kind: fc.constant("settle" as const), id, tokens }),
  fc.record({ kind: fc.constant("void" as const), id }),
  fc.record({ kind: fc.constant("wait" as const), ms: fc.integer({ min: 1, max: LEASE_MS }) }),
  fc.record({ kind: fc.constant("sweep" as const) }),
);
type Action = typeof action extends fc.Arbitrary<infer T> ? T : never;

interface ModelHold {
  readonly amount: number;
  usage: Usage;
  expiresAt: number;
}

/** The table in `shared/ledger.ts`, written down a second time without an account or an await. */
function createModel() {
  const held = new Map<string, ModelHold>();
  const ended = new Map<string, number | "voided">();
  const charge = (requestId: string, open: ModelHold, used: Usage): number => {
    const cost = Math.min(costNanoUsd(PRICE, used), open.amount);
    held.delete(requestId);
    ended.set(requestId, cost);
    return cost;
  };
  const totals = () => ({
    heldNanoUsd: [...held.values()].reduce((sum, { amount }) => sum + amount, 0),
    spentNanoUsd: [...ended.values()].reduce<number>((sum, cost) => sum + (cost === "voided" ? 0 : cost), 0),
  });
  return { held, ended, charge, totals };
}

async function expectSame(
  ledger: Ledger,
  model: ReturnType<typeof createModel>,
  each: Action,
  now: number,
): Promise<void> {
  const open = "id" in each ? model.held.get(each.id) : undefined;
  switch (each.kind) {
    case "hold": {
      const { heldNanoUsd, spentNanoUsd } = model.totals();
      const isShort = each.amount > CREDIT - heldNanoUsd - spentNanoUsd;
      const result = await ledger.hold({
        account: "ann",
        requestId: each.id,
        model: "m",
        price: PRICE,
        amount: each.amount,
        leaseMs: LEASE_MS,
      });
      if (open !== undefined) return expect(result).toEqual({ ok: true, heldNanoUsd: open.amount });
      if (model.ended.has(each.id)) return expect(result).toMatchObject({ ok: false, reason: "duplicate" });
      if (isShort) return expect(result).toMatchObject({ ok: false, reason: "insufficient_quota" });
      expect(result).toEqual({ ok: true, heldNanoUsd: each.amount });
      model.held.set(each.id, { amount: each.amount, usage: NO_USAGE, expiresAt: now + LEASE_MS });
      return;
    }
    case "checkpoint": {
      const used = usage(each.tokens.prompt, each.tokens.completion);
      await ledger.checkpoint(each.id, used);
      if (open !== undefined) Object.assign(open, { usage: used, expiresAt: now + LEASE_MS });
      return;
    }
    case "settle": {
      const used = usage(each.tokens.prompt, each.tokens.completion);
      const settling = ledger.settle(each.id, completed(used));
      const known = model.ended.get(each.id);
      if (open === undefined && (known === undefined || known === "voided"))
        return void (await expect(settling).rejects.toThrow());
      const { costNanoUsd: cost } = await settling;
      expect(cost).toBe(open === undefined ? known : model.charge(each.id, open, used));
      return;
    }
    case "void":
      await ledger.void(each.id);
      if (open === undefined) return;
      model.held.delete(each.id);
      model.ended.set(each.id, "voided");
      return;
    case "sweep": {
      const expired = [...model.held].filter(([, hold]) => hold.expiresAt <= now);
      expect(await ledger.sweep(now)).toBe(expired.length);
      for (const [requestId, hold] of expired) model.charge(requestId, hold, hold.usage);
      return;
    }
    case "wait":
      return;
    default:
      return each satisfies never;
  }
}
