import type {
  Balance,
  Credit,
  Hold,
  HoldResult,
  LimitState,
  Receipt,
  Settlement,
} from "../../shared/ledger.ts";
import { NO_USAGE, type Usage } from "../../shared/openai/usage.ts";
import { costNanoUsd } from "../../shared/pricing.ts";

/** A ledger as plainly as it can be written down: lists, added up anew for each question. */
export interface LedgerModel {
  readonly receipts: readonly Receipt[];
  hold(hold: Hold): HoldResult;
  checkpoint(requestId: string, usage: Usage): void;
  /** Undefined where there is nothing to settle. */
  settle(requestId: string, settlement: Settlement): Receipt | undefined;
  void(requestId: string): void;
  sweep(): number;
  credit(account: string, credit: Credit): boolean;
  balance(account: string): Balance;
}

interface OpenHold extends Hold {
  readonly heldAt: number;
  expiresAt: number;
  usage: Usage;
}

interface Entry extends Receipt {
  readonly scopes: readonly string[];
}

const WINDOW_MS = 60_000n;

export function createModel(now: () => number): LedgerModel {
  let open: OpenHold[] = [];
  const entries: Entry[] = [];
  const receipts: Receipt[] = [];
  const credits: (Credit & { readonly account: string })[] = [];
  const rates = createRates(now);

  const held = (account: string, scope?: string): number =>
    sum(open.filter((hold) => hold.account === account && isIn(hold, scope)).map(({ amount }) => amount));
  const isIn = (hold: Hold, scope: string | undefined): boolean =>
    scope === undefined || hold.scopes.some(({ name }) => name === scope);
  const spent = (account: string, scope?: string, month?: string): number =>
    sum(
      entries
        .filter((entry) => entry.account === account)
        .filter((entry) => scope === undefined || entry.scopes.includes(scope))
        .filter((entry) => month === undefined || monthOf(entry.settledAt) === month)
        .map(({ costNanoUsd }) => costNanoUsd),
    );
  function balance(account: string): Balance {
    const credited = sum(
      credits.filter((credit) => credit.account === account).map(({ amountNanoUsd }) => amountNanoUsd),
    );
    return {
      creditedNanoUsd: credited,
      availableNanoUsd: credited - held(account) - spent(account),
      heldNanoUsd: held(account),
      spentNanoUsd: spent(account),
    };
  }

  function refusalOf({ account, amount, tokens, scopes }: Hold): HoldResult | undefined {
    for (const { name, limits } of scopes) {
      const { monthlyNanoUsd = Number.POSITIVE_INFINITY, totalNanoUsd = Number.POSITIVE_INFINITY } = limits;
      const inMonth = monthlyNanoUsd - spent(account, name, monthOf(now())) - held(account, name);
      const left = Math.min(inMonth, totalNanoUsd - spent(account, name) - held(account, name));
      if (amount > left)
        return {
          ok: false,
          reason: "insufficient_quota",
          scope: name,
          availableNanoUsd: Math.max(0, left),
        };
    }
    const limited = { ok: false, reason: "rate_limited" } as const;
    for (const { name, limits } of scopes) {
      const { concurrentRequests, requestsPerMinute, tokensPerMinute } = limits;
      const running = open.filter((hold) => hold.account === account && isIn(hold, name)).length;
      if (concurrentRequests !== undefined && running >= concurrentRequests)
        return {
          ...limited,
          scope: name,
          resource: "concurrent",
          limit: concurrentRequests,
          retryAfterMs: 1000,
          limits: states(account, scopes),
        };
      for (const [resource, limit, quantity] of [
        ["requests", requestsPerMinute, 1],
        ["tokens", tokensPerMinute, tokens],
      ] as const) {
        if (limit === undefined) continue;
        const wait = rates.wait(`${account} ${name} ${resource}`, limit, quantity);
        if (wait !== 0)
          return {
            ...limited,
            scope: name,
            resource,
            limit,
            retryAfterMs: wait,
            limits: states(account, scopes),
          };
      }
    }
    return undefined;
  }

  const states = (account: string, scopes: Hold["scopes"]): LimitState[] =>
    scopes.flatMap(({ name, limits }) =>
      (
        [
          ["requests", limits.requestsPerMinute],
          ["tokens", limits.tokensPerMinute],
        ] as const
      ).flatMap(([resource, limit]) =>
        limit === undefined
          ? []
          : [{ scope: name, resource, limit, ...rates.state(`${account} ${name} ${resource}`, limit) }],
      ),
    );

  function take(requestId: string): OpenHold | undefined {
    const hold = open.find((each) => each.requestId === requestId);
    open = open.filter((each) => each !== hold);
    return hold;
  }

  function giveBack({ account, scopes }: Hold, tokens: number): void {
    for (const { name, limits } of scopes)
      if (limits.tokensPerMinute !== undefined)
        rates.take(`${account} ${name} tokens`, limits.tokensPerMinute, -tokens);
  }

  function end(hold: OpenHold, settlement: Settlement): Receipt {
    const { account, requestId, keyId, route, model, price, amount, heldAt } = hold;
    const cost = settlement.isFree ? 0 : Math.min(amount, costNanoUsd(price, settlement.usage));
    const receipt: Receipt = {
      ...settlement,
      account,
      requestId,
      keyId,
      route,
      model,
      price,
      costNanoUsd: cost,
      heldAt,
      settledAt: now(),
    };
    receipts.push(receipt);
    entries.push({ ...receipt, scopes: hold.scopes.map(({ name }) => name) });
    return receipt;
  }

  return {
    receipts,
    balance,
    hold(hold) {
      const same = open.find(({ requestId }) => requestId === hold.requestId);
      if (same !== undefined) return { ok: true, heldNanoUsd: same.amount, isRepeat: true, limits: [] };
      const receipt = receipts.find(({ requestId }) => requestId === hold.requestId);
      if (receipt !== undefined) return { ok: false, reason: "duplicate", receipt };
      const { availableNanoUsd } = balance(hold.account);
      if (hold.isPrepaid && hold.amount > availableNanoUsd)
        return { ok: false, reason: "insufficient_quota", scope: null, availableNanoUsd };
      const refusal = refusalOf(hold);
      if (refusal !== undefined) return refusal;
      for (const { name, limits } of hold.scopes) {
        const { requestsPerMinute, tokensPerMinute } = limits;
        if (requestsPerMinute !== undefined)
          rates.take(`${hold.account} ${name} requests`, requestsPerMinute, 1);
        if (tokensPerMinute !== undefined)
          rates.take(`${hold.account} ${name} tokens`, tokensPerMinute, hold.tokens);
      }
      open.push({ ...hold, heldAt: now(), expiresAt: now() + hold.leaseMs, usage: NO_USAGE });
      const limits = states(hold.account, hold.scopes);
      return { ok: true, heldNanoUsd: hold.amount, isRepeat: false, limits };
    },
    checkpoint(requestId, usage) {
      const hold = open.find((each) => each.requestId === requestId);
      if (hold === undefined) return;
      hold.usage = usage;
      hold.expiresAt = now() + hold.leaseMs;
    },
    settle(requestId, settlement) {
      const hold = take(requestId);
      if (hold === undefined) return receipts.find((receipt) => receipt.requestId === requestId);
      const { promptTokens, completionTokens } = settlement.usage;
      if (settlement.source === "engine")
        giveBack(hold, Math.max(0, hold.tokens - promptTokens - completionTokens));
      return end(hold, settlement);
    },
    void(requestId) {
      const hold = take(requestId);
      if (hold !== undefined) giveBack(hold, hold.tokens);
    },
    sweep() {
      const expired = open.filter(({ expiresAt }) => expiresAt <= now());
      for (const hold of expired) {
        take(hold.requestId);
        end(hold, {
          usage: hold.usage,
          source: "counted",
          outcome: "lost",
          backend: null,
          engine: "unknown",
          ttftMs: null,
          durationMs: now() - hold.heldAt,
          isFree: false,
        });
      }
      return expired.length;
    },
    credit(account, credit) {
      if (credits.some((each) => each.account === account && each.id === credit.id)) return true;
      const isShort =
        credit.amountNanoUsd < 0 && balance(account).availableNanoUsd + credit.amountNanoUsd < 0;
      if (!isShort) credits.push({ ...credit, account });
      return !isShort;
    },
  };
}

/** GCRA as its textbook has it: the theoretical arrival time, here times the limit, so that it is a whole number. */
function createRates(now: () => number) {
  const arrivals = new Map<string, bigint>();
  const nowTimes = (limit: number): bigint => BigInt(now()) * BigInt(limit);
  const arrival = (rate: string, limit: number): bigint => {
    const at = arrivals.get(rate) ?? 0n;
    return at > nowTimes(limit) ? at : nowTimes(limit);
  };
  return {
    take(rate: string, limit: number, quantity: number): void {
      arrivals.set(rate, arrival(rate, limit) + BigInt(quantity) * WINDOW_MS);
    },
    wait(rate: string, limit: number, quantity: number): number | null {
      if (quantity > limit) return null;
      const late = arrival(rate, limit) + BigInt(quantity - limit) * WINDOW_MS - nowTimes(limit);
      return late <= 0n ? 0 : Math.ceil(Number(late) / limit);
    },
    state(rate: string, limit: number): { readonly remaining: number; readonly resetMs: number } {
      const owed = arrival(rate, limit) - nowTimes(limit);
      return {
        remaining: Math.floor(Number(BigInt(limit) * WINDOW_MS - owed) / Number(WINDOW_MS)),
        resetMs: Math.ceil(Number(owed) / limit),
      };
    },
  };
}

function monthOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 7);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
