import type {
  Balance,
  Credit,
  CreditResult,
  Hold,
  HoldResult,
  Receipt,
  RequestRef,
  Settlement,
} from "../ledger.ts";
import { NO_USAGE, type UsageReading } from "../openai/usage.ts";
import { costNanoUsd } from "../pricing.ts";
import { type HoldRow, readHold, readReceipt } from "./rows.ts";
import { freeScopes, takeScopes } from "./scopes.ts";
import type { Sql } from "./sql.ts";

/** `Ledger`, synchronously: whoever wraps it decides when what was written is safe. */
export interface SqlLedger {
  hold(hold: Hold): HoldResult;
  checkpoint(ref: RequestRef, reading: UsageReading): void;
  settle(ref: RequestRef, settlement: Settlement): Receipt;
  void(ref: RequestRef): void;
  sweep(now: number): number;
  credit(account: string, credit: Credit): CreditResult;
  balance(account: string): Balance;
}

export interface SqlLedgerOptions {
  /** The ledger's clock, Unix ms. */
  readonly now: () => number;
  /** Ids of the webhooks that are told of each receipt. */
  readonly webhooks: readonly string[];
}

export function createSqlLedger(sql: Sql, { now, webhooks }: SqlLedgerOptions): SqlLedger {
  function findHold({ account, requestId }: RequestRef): HoldRow | undefined {
    const [row] = sql.all("SELECT * FROM holds WHERE request_id = ? AND account = ?", requestId, account);
    return row === undefined ? undefined : readHold(row);
  }

  function findReceipt({ account, requestId }: RequestRef): Receipt | undefined {
    const [row] = sql.all("SELECT * FROM receipts WHERE request_id = ? AND account = ?", requestId, account);
    return row === undefined ? undefined : readReceipt(row);
  }

  function balance(account: string): Balance {
    const [row] = sql.all("SELECT credited, held, spent FROM accounts WHERE account = ?", account);
    const [credited, held, spent] = [row?.credited, row?.held, row?.spent].map((amount) =>
      Number(amount ?? 0),
    );
    return {
      creditedNanoUsd: credited ?? 0,
      availableNanoUsd: (credited ?? 0) - (held ?? 0) - (spent ?? 0),
      heldNanoUsd: held ?? 0,
      spentNanoUsd: spent ?? 0,
    };
  }

  function hold(asked: Hold): HoldResult {
    const { account, requestId, keyId, route, model, amount, tokens, leaseMs } = asked;
    const same = findHold(asked);
    if (same !== undefined) return { ok: true, heldNanoUsd: same.amount, isRepeat: true, limits: [] };
    const receipt = findReceipt(asked);
    if (receipt !== undefined) return { ok: false, reason: "duplicate", receipt };
    if (asked.isPrepaid) {
      const { availableNanoUsd } = balance(account);
      if (amount > availableNanoUsd)
        return { ok: false, reason: "insufficient_quota", scope: null, availableNanoUsd };
    }
    const at = now();
    const taken = takeScopes(sql, asked, at);
    if (!taken.ok) return taken;
    sql.run(
      `INSERT INTO accounts (account, held) VALUES (?, ?)
        ON CONFLICT (account) DO UPDATE SET held = held + excluded.held`,
      account,
      amount,
    );
    sql.run(
      `INSERT INTO holds (request_id, account, key_id, route, model, price, amount, tokens, scopes, lease_ms, held_at,
        expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      requestId,
      account,
      keyId,
      route,
      model,
      JSON.stringify(asked.price),
      amount,
      tokens,
      JSON.stringify(asked.scopes),
      leaseMs,
      at,
      at + leaseMs,
    );
    return { ok: true, heldNanoUsd: amount, isRepeat: false, limits: taken.limits };
  }

  /** Ends a hold: what it took is free again, what it costs is spent. */
  function free(held: HoldRow, cost: number, surplusTokens: number, at: number): void {
    sql.run("DELETE FROM holds WHERE request_id = ?", held.request_id);
    sql.run(
      "UPDATE accounts SET held = held - ?, spent = spent + ? WHERE account = ?",
      held.amount,
      cost,
      held.account,
    );
    freeScopes(sql, held, { cost, surplusTokens, at });
  }

  function charge(held: HoldRow, settlement: Settlement): Receipt {
    const { usage, source, outcome, backend, engine, ttftMs, durationMs, isFree } = settlement;
    const at = now();
    const cost = isFree ? 0 : Math.min(costNanoUsd(held.price, usage), held.amount);
    // A lower bound gives nothing back: what it left out was used.
    const surplus = source === "engine" ? held.tokens - usage.promptTokens - usage.completionTokens : 0;
    free(held, cost, Math.max(0, surplus), at);
    const [row] = sql.all(
      `INSERT INTO receipts (request_id, account, key_id, route, model, price, amount, cost, prompt_tokens,
        cached_tokens, completion_tokens, reasoning_tokens, source, outcome, backend, engine, ttft_ms, duration_ms,
        is_free, scopes, held_at, settled_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING *`,
      held.request_id,
      held.account,
      held.key_id,
      held.route,
      held.model,
      JSON.stringify(held.price),
      held.amount,
      cost,
      usage.promptTokens,
      usage.cachedTokens,
      usage.completionTokens,
      usage.reasoningTokens,
      source,
      outcome,
      backend,
      engine,
      ttftMs,
      durationMs,
      isFree ? 1 : 0,
      JSON.stringify(held.scopes.map(({ name }) => name)),
      held.held_at,
      at,
    );
    for (const webhook of webhooks)
      sql.run(
        "INSERT INTO deliveries (webhook, request_id, due_at) VALUES (?, ?, ?)",
        webhook,
        held.request_id,
        at,
      );
    if (row === undefined) throw new Error(`No receipt was written for ${held.request_id}`);
    return readReceipt(row);
  }

  return {
    hold: (asked) => sql.transaction(() => hold(asked)),
    checkpoint({ account, requestId }, { usage, source }) {
      sql.run(
        "UPDATE holds SET usage = ?, source = ?, expires_at = ? + lease_ms WHERE request_id = ? AND account = ?",
        JSON.stringify(usage),
        source,
        now(),
        requestId,
        account,
      );
    },
    settle: (ref, settlement) =>
      sql.transaction(() => {
        const first = findReceipt(ref);
        if (first !== undefined) return first;
        const held = findHold(ref);
        if (held === undefined)
          throw new Error(`No hold for request ${ref.requestId}: it was never held, or voided`);
        return charge(held, settlement);
      }),
    void: (ref) =>
      sql.transaction(() => {
        const held = findHold(ref);
        if (held !== undefined) free(held, 0, held.tokens, now());
      }),
    sweep: (at) =>
      sql.transaction(() => {
        const expired = sql.all("SELECT * FROM holds WHERE expires_at <= ?", at).map(readHold);
        for (const held of expired) {
          charge(held, {
            usage: held.usage ?? NO_USAGE,
            source: "counted",
            outcome: "lost",
            backend: null,
            engine: "unknown",
            ttftMs: null,
            durationMs: Math.max(0, now() - held.held_at),
            isFree: false,
          });
        }
        return expired.length;
      }),
    credit: (account, { id, amountNanoUsd }) =>
      sql.transaction((): CreditResult => {
        const before = balance(account);
        const [same] = sql.all("SELECT 1 FROM credits WHERE account = ? AND id = ?", account, id);
        if (same !== undefined) return { ok: true, isRepeat: true, balance: before };
        const { availableNanoUsd } = before;
        if (amountNanoUsd < 0 && availableNanoUsd + amountNanoUsd < 0) return { ok: false, availableNanoUsd };
        sql.run(
          "INSERT INTO credits (account, id, amount, at) VALUES (?, ?, ?, ?)",
          account,
          id,
          amountNanoUsd,
          now(),
        );
        sql.run(
          `INSERT INTO accounts (account, credited) VALUES (?, ?)
            ON CONFLICT (account) DO UPDATE SET credited = credited + excluded.credited`,
          account,
          amountNanoUsd,
        );
        return { ok: true, isRepeat: false, balance: balance(account) };
      }),
    balance,
  };
}
