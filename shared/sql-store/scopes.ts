import type { Hold, HoldResult, LimitState, Limits, Scope } from "../ledger.ts";
import { debtAfter, remaining, resetMs, UNIT, waitMs } from "./limits.ts";
import type { HoldRow } from "./rows.ts";
import type { ScopeTally, Tallies } from "./tallies.ts";

type Refusal = Extract<HoldResult, { ok: false }>;
type Counted = { readonly ok: true; readonly limits: readonly LimitState[] } | Refusal;

/** A scope of a hold, with what it owes its rates now. */
interface Asked {
  readonly scope: Scope;
  readonly tally: ScopeTally;
  readonly requestsDebt: number;
  readonly tokensDebt: number;
}

/** Counts a hold against every scope, or refuses and changes nothing: budgets of all scopes first, then their rates. */
export function countHold(tallies: Tallies, hold: Hold, at: number): Counted {
  const asked = hold.scopes.map((scope): Asked => {
    const tally = tallies.scope(hold.account, scope.name, at);
    const { requestsPerMinute, tokensPerMinute } = scope.limits;
    const debtNow = (debt: number, limit: number | undefined) =>
      limit === undefined ? 0 : debtAfter(debt, at - tally.ratedAt, limit);
    return {
      scope,
      tally,
      requestsDebt: debtNow(tally.requestsDebt, requestsPerMinute),
      tokensDebt: debtNow(tally.tokensDebt, tokensPerMinute),
    };
  });
  for (const each of asked) {
    const refusal = overBudget(each, hold.amount);
    if (refusal !== undefined) return refusal;
  }
  for (const each of asked) {
    const refusal = overRate(each, hold.tokens);
    if (refusal !== undefined) return { ...refusal, limits: asked.flatMap(limitStates) };
  }
  const taken = asked.map((each): Asked => {
    const { tally, scope } = each;
    tally.running++;
    tally.held += hold.amount;
    tally.ratedAt = at;
    tally.requestsDebt = each.requestsDebt + (scope.limits.requestsPerMinute === undefined ? 0 : UNIT);
    tally.tokensDebt = each.tokensDebt + (hasTokenRate(scope) ? hold.tokens * UNIT : 0);
    tallies.changed(tally);
    return { ...each, requestsDebt: tally.requestsDebt, tokensDebt: tally.tokensDebt };
  });
  return { ok: true, limits: taken.flatMap(limitStates) };
}

export interface EndedHold {
  readonly cost: number;
  /** Taken from tokens-a-minute limits, and not used. */
  readonly surplusTokens: number;
  /** Unix ms. */
  readonly at: number;
}

/** Takes a hold off its scopes; what it cost is spent in the month it is now. */
export function uncountHold(tallies: Tallies, hold: HoldRow, { cost, surplusTokens, at }: EndedHold): void {
  for (const name of hold.scopes) {
    const tally = tallies.scope(hold.account, name, at);
    tally.running--;
    tally.held -= hold.amount;
    tally.spent += cost;
    tally.monthSpent += cost;
    if (hold.token_scopes.includes(name))
      tally.tokensDebt = Math.max(0, tally.tokensDebt - surplusTokens * UNIT);
    tallies.changed(tally);
  }
}

/** Whether a hold takes its tokens from a rate of this scope. */
export function hasTokenRate({ limits }: { readonly limits: Limits }): boolean {
  return limits.tokensPerMinute !== undefined;
}

function overBudget({ scope: { name, limits }, tally }: Asked, amount: number): Refusal | undefined {
  const left = Math.min(
    (limits.monthlyNanoUsd ?? Number.POSITIVE_INFINITY) - tally.monthSpent - tally.held,
    (limits.totalNanoUsd ?? Number.POSITIVE_INFINITY) - tally.spent - tally.held,
  );
  return amount <= left
    ? undefined
    : { ok: false, reason: "insufficient_quota", scope: name, availableNanoUsd: Math.max(0, left) };
}

type RateRefusal = Omit<Extract<Refusal, { reason: "rate_limited" }>, "limits">;

function overRate(
  { scope: { name, limits }, tally, requestsDebt, tokensDebt }: Asked,
  tokens: number,
): RateRefusal | undefined {
  const { requestsPerMinute, tokensPerMinute, concurrentRequests } = limits;
  const refusal = { ok: false, reason: "rate_limited", scope: name } as const;
  if (concurrentRequests !== undefined && tally.running >= concurrentRequests)
    return {
      ...refusal,
      resource: "concurrent",
      limit: concurrentRequests,
      retryAfterMs: CONCURRENT_RETRY_MS,
    };
  if (requestsPerMinute !== undefined) {
    const retryAfterMs = waitMs(requestsDebt, 1, requestsPerMinute);
    if (retryAfterMs !== 0)
      return { ...refusal, resource: "requests", limit: requestsPerMinute, retryAfterMs };
  }
  if (tokensPerMinute !== undefined) {
    const retryAfterMs = waitMs(tokensDebt, tokens, tokensPerMinute);
    if (retryAfterMs !== 0) return { ...refusal, resource: "tokens", limit: tokensPerMinute, retryAfterMs };
  }
  return undefined;
}

/** Nobody knows when a request ends. */
const CONCURRENT_RETRY_MS = 1000;

function limitStates({ scope: { name, limits }, requestsDebt, tokensDebt }: Asked): LimitState[] {
  const rates = [
    ["requests", limits.requestsPerMinute, requestsDebt],
    ["tokens", limits.tokensPerMinute, tokensDebt],
  ] as const;
  return rates.flatMap(([resource, limit, debt]) =>
    limit === undefined
      ? []
      : [
          {
            scope: name,
            resource,
            limit,
            remaining: remaining(debt, limit),
            resetMs: resetMs(debt, limit),
          },
        ],
  );
}
