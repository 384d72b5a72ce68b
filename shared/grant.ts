import { z } from "zod";
import { accountId } from "./config-billing.ts";
import { labels, modelName, wholeNumber } from "./config-values.ts";
import type { AccountRecord, Grant, KeyRecord } from "./directory.ts";
import { makeKey, makeKeyId } from "./key.ts";
import type { Balance, Limits } from "./ledger.ts";
import { formatUsd } from "./money.ts";

/** Keys and accounts as the admin API and the CLI take and show them. */

const NANO_PER_USD = 1_000_000_000;
const MAX_COUNT = 1_000_000_000;
/** Nano-dollars beyond it are no exact integers any more. */
const MAX_USD = 9_000_000;

const count = wholeNumber(1, MAX_COUNT).optional();
const usd = z
  .number()
  .min(0)
  .max(MAX_USD)
  .transform((dollars) => Math.round(dollars * NANO_PER_USD))
  .optional();

const limits = z
  .strictObject({
    requests_per_minute: count,
    tokens_per_minute: count,
    concurrent_requests: count,
    monthly_usd: usd,
    total_usd: usd,
  })
  .transform(
    (wire): Limits => ({
      requestsPerMinute: wire.requests_per_minute,
      tokensPerMinute: wire.tokens_per_minute,
      concurrentRequests: wire.concurrent_requests,
      monthlyNanoUsd: wire.monthly_usd,
      totalNanoUsd: wire.total_usd,
    }),
  );

const grantFields = {
  models: z.array(modelName).nullable().default(null),
  limits: limits.prefault({}),
  model_limits: z.record(modelName, limits).default({}),
  labels: labels.default({}),
};

export const newAccount = z.strictObject({
  id: accountId,
  prepaid: z.boolean().default(false),
  ...grantFields,
});

export const newKey = z.strictObject({
  account: accountId.default("default"),
  expires: z.iso.datetime({ offset: true }).nullable().default(null),
  ...grantFields,
});

/** `now` in Unix ms. */
export function accountOf(asked: z.output<typeof newAccount>, now: number): AccountRecord {
  const { prepaid, model_limits, ...account } = asked;
  return { ...account, isPrepaid: prepaid, modelLimits: model_limits, createdAt: now };
}

/** A new key with its record: the key's text is in no place but this. `now` in Unix ms. */
export async function keyOf(
  asked: z.output<typeof newKey>,
  now: number,
): Promise<{ readonly key: string; readonly record: KeyRecord }> {
  const { expires, model_limits, ...grant } = asked;
  const { key, sha256, hint } = await makeKey();
  const record: KeyRecord = {
    ...grant,
    modelLimits: model_limits,
    id: makeKeyId(),
    sha256,
    hint,
    createdAt: now,
    expiresAt: expires === null ? null : Date.parse(expires),
    revokedAt: null,
  };
  return { key, record };
}

export function toWireKey(key: KeyRecord) {
  return {
    object: "key" as const,
    id: key.id,
    hint: key.hint,
    account: key.account,
    ...grantToWire(key),
    created_at: isoOf(key.createdAt),
    expires: isoOf(key.expiresAt),
    revoked_at: isoOf(key.revokedAt),
  };
}

export function toWireAccount(account: AccountRecord) {
  return {
    object: "account" as const,
    id: account.id,
    prepaid: account.isPrepaid,
    ...grantToWire(account),
    created_at: isoOf(account.createdAt),
  };
}

export function toWireBalance(balance: Balance) {
  return {
    credited_usd: formatUsd(balance.creditedNanoUsd),
    available_usd: formatUsd(balance.availableNanoUsd),
    held_usd: formatUsd(balance.heldNanoUsd),
    spent_usd: formatUsd(balance.spentNanoUsd),
  };
}

export function toWireLimits(limits: Limits) {
  return {
    requests_per_minute: limits.requestsPerMinute,
    tokens_per_minute: limits.tokensPerMinute,
    concurrent_requests: limits.concurrentRequests,
    monthly_usd: dollarsOf(limits.monthlyNanoUsd),
    total_usd: dollarsOf(limits.totalNanoUsd),
  };
}

function dollarsOf(nanoUsd: number | undefined): number | undefined {
  return nanoUsd === undefined ? undefined : nanoUsd / NANO_PER_USD;
}

function grantToWire({ models, limits, modelLimits, labels }: Grant) {
  const ofModels = Object.entries(modelLimits).map(([model, each]) => [model, toWireLimits(each)] as const);
  return { models, limits: toWireLimits(limits), model_limits: Object.fromEntries(ofModels), labels };
}

/** Null for what never was, and for what the configuration's keys don't have. */
function isoOf(at: number | null): string | null {
  return at === null || at === 0 ? null : new Date(at).toISOString();
}
