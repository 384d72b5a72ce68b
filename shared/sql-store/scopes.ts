import type { Hold, HoldResult, LimitState, Scope } from "../ledger.ts";
import { giveBack, monthOf, remaining, resetMs, take } from "./limits.ts";
import type { HoldRow } from "./rows.ts";
import type { Sql } from "./sql.ts";

/** Where a scope stands. */
interface ScopeState {
  readonly requestsFullAtUs: number;
  readonly tokensFullAtUs: number;
  readonly running: number;
  readonly held: number;
  readonly spent: number;
  /** Spent in the month it is. */
  readonly monthSpent: number;
}

type Refusal = Extract<HoldResult, { ok: false }>;
type Taken = { readonly ok: true; readonly limits: readonly LimitState[] } | Refusal;

/** Counts a hold against every scope, or refuses and changes nothing. Runs within the hold's transaction. */
export function takeScopes(sql: Sql, hold: Hold, at: number): Taken {
  const nowUs = at * 1000;
  const month = monthOf(at);
  const states = hold.scopes.map((scope) => ({
    scope,
    state: readScope(sql, hold.account, scope.name, month),
  }));
  for (const { scope, state } of states) {
    const refused = overBudget(scope, state, hold.amount);
    if (refused !== undefined) return refused;
  }
  const taken = states.map(({ scope, state }) => takeRates(scope, state, hold, nowUs));
  const refused = taken.find((each) => !each.ok);
  if (refused !== undefined && !refused.ok) {
    const limits = states.flatMap(({ scope, state }) => limitStates(scope, state, nowUs));
    return { ...refused, limits };
  }
  const limits: LimitState[] = [];
  for (const each of taken) {
    if (!each.ok) continue;
    const { scope, state } = each;
    sql.run(
      `INSERT INTO scopes (account, name, requests_full_at, tokens_full_at, running, held, month, month_spent)
        VALUES (?, ?, ?, ?, 1, ?, ?, 0)
        ON CONFLICT (account, name) DO UPDATE SET requests_full_at = excluded.requests_full_at,
          tokens_full_at = excluded.tokens_full_at, running = running + 1, held = held + excluded.held,
          month_spent = CASE WHEN month = excluded.month THEN month_spent ELSE 0 END, month = excluded.month`,
      hold.account,
      scope.name,
      state.requestsFullAtUs,
      state.tokensFullAtUs,
      hold.amount,
      month,
    );
    limits.push(...limitStates(scope, state, nowUs));
  }
  return { ok: true, limits };
}

export interface FreedHold {
  readonly cost: number;
  /** Taken from tokens-a-minute limits, and not used. */
  readonly surplusTokens: number;
  /** Unix ms. */
  readonly at: number;
}

/** Takes a hold off its scopes; what it cost is spent in the month it is now. */
export function freeScopes(sql: Sql, hold: HoldRow, { cost, surplusTokens, at }: FreedHold): void {
  const month = monthOf(at);
  for (const { name, limits } of hold.scopes) {
    const backUs =
      limits.tokensPerMinute === undefined ? 0 : -giveBack(0, surplusTokens, limits.tokensPerMinute);
    sql.run(
      `UPDATE scopes SET running = running - 1, held = held - ?, spent = spent + ?,
        month_spent = CASE WHEN month = ? THEN month_spent ELSE 0 END + ?, month = ?,
        tokens_full_at = tokens_full_at - ? WHERE account = ? AND name = ?`,
      hold.amount,
      cost,
      month,
      cost,
      month,
      backUs,
      hold.account,
      name,
    );
  }
}

function readScope(sql: Sql, account: string, name: string, month: number): ScopeState {
  const [row] = sql.all("SELECT * FROM scopes WHERE account = ? AND name = ?", account, name);
  const at = (column: string): number => Number(row?.[column] ?? 0);
  return {
    requestsFullAtUs: at("requests_full_at"),
    tokensFullAtUs: at("tokens_full_at"),
    running: at("running"),
    held: at("held"),
    spent: at("spent"),
    monthSpent: at("month") === month ? at("month_spent") : 0,
  };
}

function overBudget({ name, limits }: Scope, state: ScopeState, amount: number): Refusal | undefined {
  const left = Math.min(
    (limits.monthlyNanoUsd ?? Number.POSITIVE_INFINITY) - state.monthSpent - state.held,
    (limits.totalNanoUsd ?? Number.POSITIVE_INFINITY) - state.spent - state.held,
  );
  return amount <= left
    ? undefined
    : { ok: false, reason: "insufficient_quota", scope: name, availableNanoUsd: Math.max(0, left) };
}

type RateRefusal = Omit<Extract<Refusal, { reason: "rate_limited" }>, "limits">;
type TakenRates = { readonly ok: true; readonly scope: Scope; readonly state: ScopeState } | RateRefusal;

function takeRates(scope: Scope, state: ScopeState, hold: Hold, nowUs: number): TakenRates {
  const { requestsPerMinute, tokensPerMinute, concurrentRequests } = scope.limits;
  const refused = { ok: false, reason: "rate_limited", scope: scope.name } as const;
  if (concurrentRequests !== undefined && state.running >= concurrentRequests)
    return {
      ...refused,
      resource: "concurrent",
      limit: concurrentRequests,
      retryAfterMs: CONCURRENT_RETRY_MS,
    };
  let { requestsFullAtUs, tokensFullAtUs } = state;
  if (requestsPerMinute !== undefined) {
    const taken = take(requestsFullAtUs, nowUs, 1, requestsPerMinute);
    if (!taken.ok) return { ...refused, resource: "requests", limit: requestsPerMinute, ...retryOf(taken) };
    requestsFullAtUs = taken.fullAtUs;
  }
  if (tokensPerMinute !== undefined) {
    const taken = take(tokensFullAtUs, nowUs, hold.tokens, tokensPerMinute);
    if (!taken.ok) return { ...refused, resource: "tokens", limit: tokensPerMinute, ...retryOf(taken) };
    tokensFullAtUs = taken.fullAtUs;
  }
  return { ok: true, scope, state: { ...state, requestsFullAtUs, tokensFullAtUs } };
}

/** Nobody knows when a request ends. */
const CONCURRENT_RETRY_MS = 1000;

function retryOf({ retryAfterMs }: { readonly retryAfterMs: number | null }) {
  return { retryAfterMs };
}

function limitStates({ name, limits }: Scope, state: ScopeState, nowUs: number): LimitState[] {
  const rates = [
    ["requests", limits.requestsPerMinute, state.requestsFullAtUs],
    ["tokens", limits.tokensPerMinute, state.tokensFullAtUs],
  ] as const;
  return rates.flatMap(([resource, limit, fullAtUs]) =>
    limit === undefined
      ? []
      : [
          {
            scope: name,
            resource,
            limit,
            remaining: remaining(fullAtUs, nowUs, limit),
            resetMs: resetMs(fullAtUs, nowUs),
          },
        ],
  );
}
