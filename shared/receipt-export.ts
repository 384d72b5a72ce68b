import type { Books, ReceiptFilter } from "./books.ts";
import { CSV_HEADER, toCsv, toWireReceipt } from "./receipt.ts";

export const EXPORT_FORMATS = ["csv", "jsonl"] as const;
export type ExportFormat = (typeof EXPORT_FORMATS)[number];

/** Receipts in memory at a time. */
const PAGE = 500;

/** All receipts that match, oldest first, a page of text at a time: never more than a page in memory. */
export async function* exportReceipts(
  books: Pick<Books, "receipts">,
  filter: ReceiptFilter,
  format: ExportFormat,
): AsyncGenerator<string, void, void> {
  if (format === "csv") yield CSV_HEADER;
  let after: string | undefined;
  do {
    const { receipts, next } = await books.receipts({ ...filter, limit: PAGE, after });
    if (receipts.length > 0)
      yield receipts
        .map((receipt) => (format === "csv" ? toCsv(receipt) : `${JSON.stringify(toWireReceipt(receipt))}\n`))
        .join("");
    after = next ?? undefined;
  } while (after !== undefined);
}
