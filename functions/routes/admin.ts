import type { Context, Handler } from "hono";
import { z } from "zod";
import type { Directory } from "../../shared/directory.ts";
import {
  accountOf,
  keyOf,
  newAccount,
  newKey,
  toWireAccount,
  toWireBalance,
  toWireKey,
} from "../../shared/grant.ts";
import { formatUsd, parseUsd } from "../../shared/money.ts";
import { ApiError, invalidRequest } from "../../shared/openai/errors.ts";
import { parseBody } from "../../shared/openai/schemas.ts";
import type { Deps } from "../deps.ts";
import { readJsonBody } from "../json-body.ts";
import type { RequestContext } from "../middleware/request-context.ts";

type Route = Handler<RequestContext>;

export interface AdminRoutes {
  readonly listAccounts: Route;
  readonly putAccount: Route;
  readonly showAccount: Route;
  readonly credit: Route;
  readonly listKeys: Route;
  readonly createKey: Route;
  readonly revokeKey: Route;
}

const creditBody = z.strictObject({
  /** The caller's own: sent again, it changes nothing. */
  id: z.string().regex(/^[\w.:-]{1,128}$/, "1 to 128 letters, digits, dots, colons, dashes or underscores"),
  amount_usd: z.union([z.number(), z.string().max(32)]),
});

/** Accounts, their credit, and keys. `directory`: with the configuration's keys and accounts in it. */
export function adminRoutes(
  { config, store: { ledger }, clock }: Pick<Deps, "config" | "store" | "clock">,
  directory: Directory,
): AdminRoutes {
  async function accountNamed(c: Context<RequestContext>) {
    const id = c.req.param("id") ?? "";
    const account = await directory.account(id);
    if (account === undefined) throw new ApiError(404, `There is no account \`${id}\`.`, { param: "id" });
    return account;
  }

  return {
    listAccounts: async (c) => c.json(list((await directory.accounts()).map(toWireAccount))),
    putAccount: async (c) => {
      const asked = parseBody(newAccount, (await readJsonBody(c)).json);
      if (config.accounts.some(({ id }) => id === asked.id))
        throw new ApiError(409, `The account \`${asked.id}\` is set in the configuration. Change it there.`, {
          param: "id",
        });
      await directory.putAccount(accountOf(asked, clock.now()));
      const account = await directory.account(asked.id);
      return c.json(toWireAccount(account ?? accountOf(asked, clock.now())));
    },
    showAccount: async (c) => {
      const account = await accountNamed(c);
      const balance = await ledger.balance(account.id);
      return c.json({ ...toWireAccount(account), balance: toWireBalance(balance) });
    },
    credit: async (c) => {
      const asked = parseBody(creditBody, (await readJsonBody(c)).json);
      const amountNanoUsd = parseUsd(String(asked.amount_usd));
      if (amountNanoUsd === undefined || amountNanoUsd === 0)
        throw invalidRequest(
          "Invalid 'amount_usd': US dollars other than 0, with at most nine decimals, such as 25 or \"0.5\"; negative takes back.",
          "amount_usd",
          "invalid_value",
        );
      const account = await accountNamed(c);
      const result = await ledger.credit(account.id, { id: asked.id, amountNanoUsd });
      if (!result.ok) {
        const available = formatUsd(result.availableNanoUsd);
        throw invalidRequest(
          `Invalid 'amount_usd': it takes back more than the ${available} US dollars that are available.`,
          "amount_usd",
          "invalid_value",
        );
      }
      return c.json({
        object: "credit",
        id: asked.id,
        account: account.id,
        amount_usd: formatUsd(amountNanoUsd),
        is_repeat: result.isRepeat,
        balance: toWireBalance(result.balance),
      });
    },
    listKeys: async (c) => c.json(list((await directory.keys(c.req.query("account"))).map(toWireKey))),
    createKey: async (c) => {
      const { key, record } = await keyOf(parseBody(newKey, (await readJsonBody(c)).json), clock.now());
      await directory.createKey(record);
      // The one answer that holds a key: no cache on the way may keep it.
      return c.json({ ...toWireKey(record), key }, 200, { "cache-control": "no-store" });
    },
    revokeKey: async (c) => {
      const id = c.req.param("id") ?? "";
      if (config.keys.some((key) => key.id === id))
        throw new ApiError(409, `The key \`${id}\` is set in the configuration. Remove it there.`, {
          param: "id",
        });
      if (!(await directory.revokeKey(id, clock.now())))
        throw new ApiError(404, `There is no key \`${id}\`.`, { param: "id" });
      return c.json({ object: "key", id, revoked: true });
    },
  };
}

function list<T>(entries: readonly T[]) {
  return { object: "list", data: entries };
}
