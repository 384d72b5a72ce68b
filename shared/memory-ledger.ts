import type { Balance, Hold, Ledger, Receipt, Settlement } from "./ledger.ts";
import { NO_USAGE, type Usage } from "./openai/usage.ts";
import { costNanoUsd } from "./pricing.ts";

export interface MemoryLedgerOptions {
  /** Unix ms. */
  readonly now: () => number;
  /** Nano-dollars an account starts with; an account not named here is unlimited. */
  readonly credits?: Readonly<Record<string, number>>;
  /** Receipts kept, oldest dropped first, so that memory stays bounded. */
  readonly receiptLimit?: number;
}

interface Open extends Hold {
  readonly heldAt: number;
  expiresAt: number;
  usage: Usage;
}

/** The ledger's plainest reading: everything in this process, gone when it ends. */
export function createMemoryLedger(options: MemoryLedgerOptions): Ledger {
  const { now, credits = {}, receiptLimit = 10_000 } = options;
  const open = new Map<string, Open>();
  const receipts = new Map<string, Receipt | "voided">();
  const held = new Map<string, number>();
  const spent = new Map<string, number>();

  const available = (account: string): number => {
    const credit = credits[account];
    return credit === undefined
      ? Number.POSITIVE_INFINITY
      : credit - amountOf(held, account) - amountOf(spent, account);
  };
  const close = (hold: Open, end: Receipt | "voided"): void => {
    open.delete(hold.requestId);
    held.set(hold.account, amountOf(held, hold.account) - hold.amount);
    receipts.set(hold.requestId, end);
    const oldest = receipts.keys().next();
    if (receipts.size > receiptLimit && !oldest.done) receipts.delete(oldest.value);
  };
  const charge = (hold: Open, settlement: Settlement): Receipt => {
    const cost = Math.min(costNanoUsd(hold.price, settlement.usage), hold.amount);
    const receipt: Receipt = {
      ...settlement,
      requestId: hold.requestId,
      account: hold.account,
      model: hold.model,
      costNanoUsd: cost,
      heldAt: hold.heldAt,
      settledAt: now(),
    };
    close(hold, receipt);
    spent.set(hold.account, amountOf(spent, hold.account) + cost);
    return receipt;
  };

  return {
    async hold(hold) {
      const same = open.get(hold.requestId);
      if (same !== undefined) return { ok: true, heldNanoUsd: same.amount };
      const availableNanoUsd = available(hold.account);
      if (receipts.has(hold.requestId)) return { ok: false, reason: "duplicate", availableNanoUsd };
      if (hold.amount > availableNanoUsd)
        return { ok: false, reason: "insufficient_quota", availableNanoUsd };
      const at = now();
      open.set(hold.requestId, { ...hold, heldAt: at, expiresAt: at + hold.leaseMs, usage: NO_USAGE });
      held.set(hold.account, amountOf(held, hold.account) + hold.amount);
      return { ok: true, heldNanoUsd: hold.amount };
    },
    async checkpoint(requestId, usage) {
      const hold = open.get(requestId);
      if (hold === undefined) return;
      hold.usage = usage;
      hold.expiresAt = now() + hold.leaseMs;
    },
    async settle(requestId, settlement) {
      const first = receipts.get(requestId);
      if (first !== undefined && first !== "voided") return first;
      const hold = open.get(requestId);
      if (hold === undefined)
        throw new Error(`No hold for request ${requestId}: it was never held, or voided`);
      return charge(hold, settlement);
    },
    async void(requestId) {
      const hold = open.get(requestId);
      if (hold !== undefined) close(hold, "voided");
    },
    async sweep(at) {
      const expired = [...open.values()].filter((hold) => hold.expiresAt <= at);
      for (const hold of expired) charge(hold, { usage: hold.usage, basis: "counted", outcome: "lost" });
      return expired.length;
    },
    async balance(account): Promise<Balance> {
      return {
        balanceNanoUsd: credits[account] === undefined ? null : available(account),
        heldNanoUsd: amountOf(held, account),
        spentNanoUsd: amountOf(spent, account),
      };
    },
    close: async () => {},
  };
}

function amountOf(amounts: ReadonlyMap<string, number>, account: string): number {
  return amounts.get(account) ?? 0;
}
