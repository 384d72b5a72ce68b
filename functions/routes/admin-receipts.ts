import type { Handler } from "hono";
import { z } from "zod";
import { toWireReceipt } from "../../shared/receipt.ts";
import { EXPORT_FORMATS, type ExportFormat, exportReceipts } from "../../shared/receipt-export.ts";
import type { Deps } from "../deps.ts";
import type { RequestContext } from "../middleware/request-context.ts";
import { moment, readQuery } from "../query.ts";

const receiptsQuery = z.strictObject({
  account: z.string().optional(),
  key_id: z.string().optional(),
  model: z.string().optional(),
  from: moment.optional(),
  to: moment.optional(),
  limit: z.coerce.number().int().min(1).max(1000).default(100),
  after: z.string().optional(),
  format: z.enum(["json", ...EXPORT_FORMATS]).default("json"),
});

const CONTENT_TYPES: Readonly<Record<ExportFormat, string>> = {
  csv: "text/csv; charset=utf-8",
  jsonl: "application/jsonl; charset=utf-8",
};

/** All accounts' receipts, oldest first: a page of JSON, or all of them as a file. */
export function receiptsRoute({ store: { books } }: Pick<Deps, "store">): Handler<RequestContext> {
  return async (c) => {
    const { format, limit, after, key_id, ...rest } = readQuery(c, receiptsQuery);
    const filter = { ...rest, keyId: key_id };
    if (format === "json") {
      const { receipts, next } = await books.receipts({ ...filter, limit, after });
      return c.json({
        object: "list",
        data: receipts.map(toWireReceipt),
        has_more: next !== null,
        next,
      });
    }
    const headers = {
      "content-type": CONTENT_TYPES[format],
      "content-disposition": `attachment; filename="receipts.${format}"`,
    };
    return new Response(streamed(exportReceipts(books, filter, format)), { headers });
  };
}

/** As fast as it is read. A failure cuts the connection, so that half a file is not taken for a whole one. */
function streamed(pages: AsyncGenerator<string, void, void>): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const page = await pages.next();
        if (page.done) controller.close();
        else controller.enqueue(encoder.encode(page.value));
      },
      async cancel() {
        await pages.return();
      },
    },
    { highWaterMark: 0 },
  );
}
