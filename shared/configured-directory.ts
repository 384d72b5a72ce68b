import type { Config } from "./config.ts";
import type { AccountRecord, Directory, KeyRecord } from "./directory.ts";
import { hintOf, isSameHash } from "./key.ts";
import { sha256 } from "./sha256.ts";

/**
 * The directory with the configuration's keys and accounts in it: what the file says wins over what is kept. They are
 * looked at first, can't be revoked, and setting such an account has no effect that is seen.
 */
export function withConfigured(config: Config, directory: Directory): Directory {
  const accounts = new Map(configuredAccounts(config).map((account) => [account.id, account]));
  // The value, never its promise: workerd ties a promise to the request that made it.
  let keys: readonly KeyRecord[] | undefined;

  async function account(id: string): Promise<AccountRecord | undefined> {
    return accounts.get(id) ?? (await directory.account(id));
  }

  return {
    ...directory,
    account,
    async findKey(hash) {
      keys ??= await configuredKeys(config);
      const key = keys.find((each) => isSameHash(each.sha256, hash));
      if (key !== undefined)
        return { key, account: (await account(key.account)) ?? plainAccount(key.account) };
      const kept = await directory.findKey(hash);
      return kept && { ...kept, account: accounts.get(kept.account.id) ?? kept.account };
    },
    async keys(of) {
      keys ??= await configuredKeys(config);
      const ours = of === undefined ? keys : keys.filter((key) => key.account === of);
      return [...ours, ...(await directory.keys(of))];
    },
    async accounts() {
      const kept = await directory.accounts();
      return [...accounts.values(), ...kept.filter(({ id }) => !accounts.has(id))];
    },
  };
}

/** Writes the configuration's accounts down: one that leaves the file later stays what it was. `now` in Unix ms. */
export async function keepConfiguredAccounts(
  config: Config,
  directory: Directory,
  now: number,
): Promise<void> {
  for (const account of configuredAccounts(config))
    await directory.putAccount({ ...account, createdAt: now });
}

async function configuredKeys(config: Config): Promise<readonly KeyRecord[]> {
  return await Promise.all(
    config.keys.map(async ({ id, key, sha256: hash, account, expires, models, ...grant }) => ({
      ...grant,
      id,
      sha256: hash ?? (await sha256(key ?? "")),
      hint: key === undefined ? "" : hintOf(key),
      account,
      models: models ?? null,
      createdAt: 0,
      expiresAt: expires === undefined ? null : Date.parse(expires),
      revokedAt: null,
    })),
  );
}

function configuredAccounts(config: Config): readonly AccountRecord[] {
  return config.accounts.map(({ prepaid, models, ...account }) => ({
    ...account,
    isPrepaid: prepaid,
    models: models ?? null,
    createdAt: 0,
  }));
}

/** An account that only a key names: it pays later, without limits. */
function plainAccount(id: string): AccountRecord {
  return { id, isPrepaid: false, models: null, limits: {}, modelLimits: {}, labels: {}, createdAt: 0 };
}
