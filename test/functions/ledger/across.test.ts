import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { mergeDue, mergePages, mergeTotals } from "../../../functions/ledger/across.ts";
import type { UsageTotal } from "../../../shared/books.ts";
import type { Receipt } from "../../../shared/ledger.ts";
import { NO_USAGE } from "../../../shared/openai/usage.ts";
import { FREE } from "../../../shared/pricing.ts";
import { cursorOf } from "../../../shared/sql-store/books.ts";

function receipt(requestId: string, settledAt: number): Receipt {
  return {
    account: "ann",
    requestId,
    keyId: null,
    route: "chat",
    model: "m",
    price: FREE,
    usage: NO_USAGE,
    source: "engine",
    outcome: "completed",
    backend: null,
    engine: "dummy",
    ttftMs: null,
    durationMs: 1,
    isFree: false,
    costNanoUsd: 0,
    heldAt: 0,
    settledAt,
  };
}

/** One account's book, as `Books.receipts` reads it. */
function pageOf(book: readonly Receipt[], limit: number, after: string | undefined) {
  const behind = book.filter((each) => after === undefined || isAfter(each, after));
  const receipts = behind.slice(0, limit);
  const last = receipts.at(-1);
  return { receipts, next: behind.length > limit && last !== undefined ? cursorOf(last) : null };
}

function isAfter({ settledAt, requestId }: Receipt, cursor: string): boolean {
  const [at, id = ""] = cursor.split(":");
  return settledAt > Number(at) || (settledAt === Number(at) && requestId > id);
}

const sorted = (receipts: readonly Receipt[]) =>
  receipts.toSorted((a, b) => a.settledAt - b.settledAt || (a.requestId < b.requestId ? -1 : 1));

describe("books put together", () => {
  it("read page by page are all receipts, each once, in order", () => {
    const books = fc.array(fc.array(fc.nat(5), { maxLength: 8 }), { maxLength: 5 });
    fc.assert(
      fc.property(books, fc.integer({ min: 1, max: 6 }), (times, limit) => {
        const each = times.map((book, i) => sorted(book.map((at, j) => receipt(`r${i}-${j}`, at))));
        const read: Receipt[] = [];
        for (let after: string | undefined; ; ) {
          const merged = mergePages(limit, cursorOf);
          for (const book of each) merged.add(pageOf(book, limit, after));
          const page = merged.whole();
          expect(page.receipts.length).toBeLessThanOrEqual(limit);
          read.push(...page.receipts);
          if (page.next === null) break;
          after = page.next;
        }
        expect(read).toEqual(sorted(each.flat()));
      }),
    );
  });

  it("add up what is of the same time and group, and nothing else", () => {
    const total = (start: number, model: string, requests: number): UsageTotal => ({
      start,
      model,
      requests,
      usage: { ...NO_USAGE, promptTokens: 10 * requests },
      costNanoUsd: 100 * requests,
    });
    const merged = mergeTotals({ groupBy: ["model"] });
    merged.add([total(0, "a", 1), total(60, "a", 2)]);
    merged.add([total(0, "a", 3), total(0, "b", 4)]);
    expect(merged.whole()).toEqual([total(0, "a", 4), total(0, "b", 4), total(60, "a", 2)]);
  });

  it("are due the longest waiting first, and no more than asked for", () => {
    const delivery = (requestId: string, at: number) => ({
      webhook: "w",
      attempts: 0,
      receipt: receipt(requestId, at),
    });
    const merged = mergeDue(2);
    merged.add([delivery("b", 2), delivery("d", 4)]);
    merged.add([delivery("a", 1), delivery("c", 3)]);
    expect(merged.whole().map((each) => each.receipt.requestId)).toEqual(["a", "b"]);
  });
});
