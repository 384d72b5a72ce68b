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
import { findReceipt } from "./books.ts";
import { createMadeHolds } from "./made-holds.ts";
import { type HoldRow, readHold, readPrice } from "./rows.ts";
import { countHold, hasTokenRate, uncountHold } from "./scopes.ts";
import type { Sql } from "./sql.ts";
import { type AccountTally, readAccount, type Tallies } from "./tallies.ts";

/**
 * `Ledger`, synchronously. Each call runs within a transaction that also writes the tallies; where one throws, the
 * transaction is undone.
 */
export interface SqlLedger {
  hold(hold: Hold): HoldResult;
  checkpoint(ref: RequestRef, reading: UsageReading): void;
  settle(ref: RequestRef, settlement: Settlement): Receipt;
  void(ref: RequestRef): void;
  sweep(now: number): number;
  credit(account: string, credit: Credit): CreditResult;
  /** Needs no transaction. */
  balance(account: string): Balance;
}

export interface SqlLedgerOptions {
  /** The ledger's clock, Unix ms. */
  readonly now: () => number;
  /** Ids of the webhooks that are told of each receipt. */
  readonly webhooks: readonly string[];
}

export function createSqlLedger(sql: Sql, tallies: Tallies, { now, webhooks }: SqlLedgerOptions): SqlLedger {
  const madeHolds = createMadeHolds();

  /** Takes the hold out of the books; undefined where there is none. */
  function takeHold({ account, requestId }: RequestRef): HoldRow | undefined {
    const made = madeHolds.take(requestId);
    // Whoever made a hold mostly ends it: what is still as it was made needn't be read.
    if (made?.account === account && remove(made)) return made;
    const [row] = sql.all("SELECT * FROM holds WHERE account = ? AND request_id = ?", account, requestId);
    const held = row && readHold(row);
    return held !== undefined && remove(held) ? held : undefined;
  }

  function remove({ account, request_id, held_at }: HoldRow): boolean {
    const query = "DELETE FROM holds WHERE account = ? AND request_id = ? AND held_at = ?";
    return sql.run(query, account, request_id, held_at) > 0;
  }

  /** What a hold set aside is free again; what it costs is spent. */
  function release(held: HoldRow, cost: number, surplusTokens: number, at: number): void {
    const tally = tallies.account(held.account);
    tally.held -= held.amount;
    tally.spent += cost;
    tallies.changed(tally);
    uncountHold(tallies, held, { cost, surplusTokens, at });
  }

  function charge(held: HoldRow, settlement: Settlement, at: number): Receipt {
    const { usage, source, outcome, backend, engine, ttftMs, durationMs, isFree } = settlement;
    const price = readPrice(held);
    const cost = isFree ? 0 : Math.min(costNanoUsd(price, usage), held.amount);
    // A lower bound gives nothing back: what it left out was used.
    const surplus = source === "engine" ? held.tokens - usage.promptTokens - usage.completionTokens : 0;
    release(held, cost, Math.max(0, surplus), at);
    sql.run(
      "INSERT INTO receipts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      held.account,
      at,
      held.request_id,
      held.key_id,
      held.route,
      held.model,
      price.promptPicoUsd,
      price.cachedPromptPicoUsd,
      price.completionPicoUsd,
      price.reasoningPicoUsd,
      held.amount,
      held.is_prepaid,
      JSON.stringify(held.scopes),
      held.held_at,
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
    );
    for (const webhook of webhooks)
      sql.run("INSERT INTO deliveries VALUES (?, ?, ?, 0, ?)", webhook, held.account, held.request_id, at);
    return {
      account: held.account,
      requestId: held.request_id,
      keyId: held.key_id,
      route: held.route,
      model: held.model,
      price,
      usage,
      source,
      outcome,
      backend,
      engine,
      ttftMs,
      durationMs,
      isFree,
      costNanoUsd: cost,
      heldAt: held.held_at,
      settledAt: at,
    };
  }

  return {
    hold(hold) {
      const { account, requestId, keyId, route, model, price, amount, tokens, isPrepaid, scopes, leaseMs } =
        hold;
      const [known] = sql.all(
        `SELECT (SELECT amount FROM holds WHERE account = ? AND request_id = ?) AS amount,
          EXISTS (SELECT 1 FROM receipts WHERE account = ? AND request_id = ?) AS is_settled`,
        account,
        requestId,
        account,
        requestId,
      );
      if (typeof known?.amount === "number")
        return { ok: true, heldNanoUsd: known.amount, isRepeat: true, limits: [] };
      const receipt = known?.is_settled === 1 ? findReceipt(sql, hold) : undefined;
      if (receipt !== undefined) return { ok: false, reason: "duplicate", receipt };

      const tally = tallies.account(account);
      const availableNanoUsd = tally.credited - tally.held - tally.spent;
      if (isPrepaid && amount > availableNanoUsd)
        return { ok: false, reason: "insufficient_quota", scope: null, availableNanoUsd };
      exact(tally.held + tally.spent + amount);
      const at = now();
      const counted = countHold(tallies, hold, at);
      if (!counted.ok) return counted;
      tally.held += amount;
      tallies.changed(tally);
      const held: HoldRow = {
        account,
        request_id: requestId,
        key_id: keyId,
        route,
        model,
        prompt_pico: price.promptPicoUsd,
        cached_pico: price.cachedPromptPicoUsd,
        completion_pico: price.completionPicoUsd,
        reasoning_pico: price.reasoningPicoUsd,
        amount,
        tokens,
        is_prepaid: isPrepaid ? 1 : 0,
        scopes: scopes.map(({ name }) => name),
        token_scopes: scopes.filter(hasTokenRate).map(({ name }) => name),
        held_at: at,
        usage: null,
      };
      sql.run(
        "INSERT INTO holds VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)",
        account,
        requestId,
        keyId,
        route,
        model,
        held.prompt_pico,
        held.cached_pico,
        held.completion_pico,
        held.reasoning_pico,
        amount,
        tokens,
        held.is_prepaid,
        JSON.stringify(held.scopes),
        JSON.stringify(held.token_scopes),
        leaseMs,
        at,
        at + leaseMs,
      );
      madeHolds.add(held);
      return { ok: true, heldNanoUsd: amount, isRepeat: false, limits: counted.limits };
    },
    checkpoint({ account, requestId }, { usage }) {
      sql.run(
        "UPDATE holds SET usage = ?, expires_at = ? + lease_ms WHERE account = ? AND request_id = ?",
        JSON.stringify(usage),
        now(),
        account,
        requestId,
      );
    },
    settle(ref, settlement) {
      const held = takeHold(ref);
      if (held !== undefined) return charge(held, settlement, now());
      const first = findReceipt(sql, ref);
      if (first !== undefined) return first;
      throw new Error(`No hold for request ${ref.requestId}: it was never held, or voided`);
    },
    void(ref) {
      const held = takeHold(ref);
      if (held !== undefined) release(held, 0, held.tokens, now());
    },
    sweep(at) {
      const expired = sql.all("DELETE FROM holds WHERE expires_at <= ? RETURNING *", at).map(readHold);
      for (const held of expired) charge(held, lost(held, now()), now());
      return expired.length;
    },
    credit(account, { id, amountNanoUsd }): CreditResult {
      const tally = tallies.account(account);
      const [same] = sql.all("SELECT 1 FROM credits WHERE account = ? AND id = ?", account, id);
      if (same !== undefined) return { ok: true, isRepeat: true, balance: balanceOf(tally) };
      const { availableNanoUsd } = balanceOf(tally);
      if (amountNanoUsd < 0 && availableNanoUsd + amountNanoUsd < 0) return { ok: false, availableNanoUsd };
      const credited = exact(tally.credited + amountNanoUsd);
      sql.run("INSERT INTO credits VALUES (?, ?, ?, ?)", account, id, amountNanoUsd, now());
      tally.credited = credited;
      tallies.changed(tally);
      return { ok: true, isRepeat: false, balance: balanceOf(tally) };
    },
    balance: (account) => balanceOf(readAccount(sql, account)),
  };
}

/** How a request ends that nobody settled: more may have come after its last checkpoint, so its count is not the engine's. */
function lost(held: HoldRow, at: number): Settlement {
  return {
    usage: held.usage ?? NO_USAGE,
    source: "counted",
    outcome: "lost",
    backend: null,
    engine: "unknown",
    ttftMs: null,
    durationMs: Math.max(0, at - held.held_at),
    isFree: false,
  };
}

function balanceOf({ credited, held, spent }: AccountTally): Balance {
  return {
    creditedNanoUsd: credited,
    availableNanoUsd: credited - held - spent,
    heldNanoUsd: held,
    spentNanoUsd: spent,
  };
}

function exact(nanoUsd: number): number {
  if (!Number.isSafeInteger(nanoUsd))
    throw new RangeError(`An account of ${nanoUsd} nano-dollars is beyond exact integers.`);
  return nanoUsd;
}
