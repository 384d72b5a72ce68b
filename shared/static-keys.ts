import type { Config } from "./config.ts";
import type { AccountRecord, Directory, KeyRecord } from "./directory.ts";
import { hashKey, hintOf } from "./key.ts";

/** The configuration's keys as the directory would keep them. */
export async function staticKeys(config: Config): Promise<readonly KeyRecord[]> {
  return await Promise.all(
    config.keys.map(async ({ id, key, sha256, account, expires, models, limits, modelLimits, labels }) => ({
      id,
      sha256: sha256 ?? (await hashKey(key ?? "")),
      hint: key === undefined ? "" : hintOf(key),
      account,
      models: models ?? null,
      limits,
      modelLimits,
      labels,
      createdAt: 0,
      expiresAt: expires === undefined ? null : Date.parse(expires),
      revokedAt: null,
    })),
  );
}

/** The configuration's accounts; `now` in Unix ms. */
export function staticAccounts(config: Config, now: number): readonly AccountRecord[] {
  return config.accounts.map(({ prepaid, models, ...account }) => ({
    ...account,
    isPrepaid: prepaid,
    models: models ?? null,
    createdAt: now,
  }));
}

/** Puts the configuration's accounts into the directory: what the file says wins over what was set before. */
export async function putStaticAccounts(config: Config, directory: Directory, now: number): Promise<void> {
  for (const account of staticAccounts(config, now)) await directory.putAccount(account);
}

/** An account that only a key names: it pays later, without limits. */
export function plainAccount(id: string, now: number): AccountRecord {
  return { id, isPrepaid: false, models: null, limits: {}, modelLimits: {}, labels: {}, createdAt: now };
}
