import type { Handler } from "hono";
import type { Receipt } from "../../shared/ledger.ts";
import { ApiError } from "../../shared/openai/errors.ts";
import { toWireReceipt } from "../../shared/receipt.ts";
import type { Deps } from "../deps.ts";
import type { RequestContext } from "../middleware/request-context.ts";

export interface ReceiptRoutes {
  /** Of the caller's own account. */
  readonly own: Handler<RequestContext>;
  /** Of any account. */
  readonly any: Handler<RequestContext>;
}

export function receiptRoutes({ store: { books } }: Pick<Deps, "store">): ReceiptRoutes {
  async function find(account: string, requestId: string): Promise<Receipt> {
    const receipt = await books.receipt({ account, requestId });
    if (receipt !== undefined) return receipt;
    throw new ApiError(404, `No receipt \`${requestId}\` in this account.`, { param: "id" });
  }
  return {
    own: async (c) => {
      const receipt = await find(c.get("principal").account, c.req.param("id") ?? "");
      return c.json(toWireReceipt(receipt));
    },
    any: async (c) => {
      const receipt = await find(c.req.param("account") ?? "", c.req.param("id") ?? "");
      return c.json(toWireReceipt(receipt));
    },
  };
}
