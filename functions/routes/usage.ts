import type { Handler } from "hono";
import { toWireBalance, toWireLimits } from "../../shared/grant.ts";
import { formatUsd } from "../../shared/money.ts";
import { addUsage, NO_USAGE } from "../../shared/openai/usage.ts";
import type { Deps } from "../deps.ts";
import type { RequestContext } from "../middleware/request-context.ts";

const DAY_MS = 86_400_000;

/** What the caller may spend, and what its own key has used this month (UTC). */
export function usageRoute({ store, clock }: Pick<Deps, "store" | "clock">): Handler<RequestContext> {
  return async (c) => {
    const { account, keyId, isPrepaid, models, ...principal } = c.get("principal");
    const to = clock.now() + 1;
    const from = startOfMonth(clock.now());
    const [balance, days] = await Promise.all([
      store.ledger.balance(account),
      store.books.totals({ account, keyId: keyId ?? undefined, from, to, bucketMs: DAY_MS, groupBy: [] }),
    ]);
    const usage = days.reduce((sum, day) => addUsage(sum, day.usage), NO_USAGE);
    return c.json({
      object: "usage",
      account,
      key_id: keyId,
      prepaid: isPrepaid,
      models,
      balance: toWireBalance(balance),
      limits: principal.allScopes().map(({ name, limits }) => ({ scope: name, ...toWireLimits(limits) })),
      month: {
        start: new Date(from).toISOString(),
        requests: days.reduce((sum, { requests }) => sum + requests, 0),
        prompt_tokens: usage.promptTokens,
        cached_tokens: usage.cachedTokens,
        completion_tokens: usage.completionTokens,
        reasoning_tokens: usage.reasoningTokens,
        cost_usd: formatUsd(days.reduce((sum, day) => sum + day.costNanoUsd, 0)),
      },
    });
  };
}

function startOfMonth(now: number): number {
  const date = new Date(now);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth());
}
