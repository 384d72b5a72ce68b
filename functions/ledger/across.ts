import type { Delivery, ReceiptPage, TotalsQuery, UsageTotal } from "../../shared/books.ts";
import type { Receipt } from "../../shared/ledger.ts";
import { addUsage } from "../../shared/openai/usage.ts";

/** Answers of many accounts' books, put together one at a time: never more is kept than the answer is large. */
export interface Merged<Part, Whole> {
  add(part: Part): void;
  whole(): Whole;
}

/** The first `limit` receipts of all pages. `cursorOf` makes the place after a receipt, the same in every book. */
export function mergePages(
  limit: number,
  cursorOf: (receipt: Receipt) => string,
): Merged<ReceiptPage, ReceiptPage> {
  let receipts: readonly Receipt[] = [];
  let hasMore = false;
  return {
    add(page) {
      const all = [...receipts, ...page.receipts].sort(bySettlement);
      receipts = all.slice(0, limit);
      hasMore ||= page.next !== null || all.length > limit;
    },
    whole() {
      const last = receipts.at(-1);
      return { receipts, next: hasMore && last !== undefined ? cursorOf(last) : null };
    },
  };
}

/** The sums of all books' sums. */
export function mergeTotals({
  groupBy,
}: Pick<TotalsQuery, "groupBy">): Merged<readonly UsageTotal[], readonly UsageTotal[]> {
  const sums = new Map<string, UsageTotal>();
  return {
    add(totals) {
      for (const total of totals) {
        const group = { account: total.account, key: total.keyId, model: total.model };
        const id = JSON.stringify([total.start, ...groupBy.map((by) => group[by])]);
        const sum = sums.get(id);
        sums.set(id, sum === undefined ? total : addTotals(sum, total));
      }
    },
    whole: () => [...sums.values()].sort((a, b) => a.start - b.start),
  };
}

/** The `limit` deliveries that wait longest. */
export function mergeDue(limit: number): Merged<readonly Delivery[], readonly Delivery[]> {
  let deliveries: readonly Delivery[] = [];
  return {
    add(more) {
      deliveries = [...deliveries, ...more]
        .sort((a, b) => bySettlement(a.receipt, b.receipt))
        .slice(0, limit);
    },
    whole: () => deliveries,
  };
}

function addTotals(a: UsageTotal, b: UsageTotal): UsageTotal {
  return {
    ...a,
    requests: a.requests + b.requests,
    usage: addUsage(a.usage, b.usage),
    costNanoUsd: a.costNanoUsd + b.costNanoUsd,
  };
}

function bySettlement(a: Receipt, b: Receipt): number {
  if (a.settledAt !== b.settledAt) return a.settledAt - b.settledAt;
  return a.requestId < b.requestId ? -1 : a.requestId > b.requestId ? 1 : 0;
}
