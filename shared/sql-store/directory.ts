import { z } from "zod";
import type { AccountRecord, KeyOwner, KeyRecord } from "../directory.ts";
import type { Sql, SqlRow } from "./sql.ts";

/** `Directory`, synchronously; what writes runs within a transaction. */
export interface SqlDirectory {
  findKey(sha256: string): KeyOwner | undefined;
  createKey(key: KeyRecord): void;
  revokeKey(id: string, at: number): boolean;
  keys(account?: string): readonly KeyRecord[];
  account(id: string): AccountRecord | undefined;
  putAccount(account: AccountRecord): void;
  accounts(): readonly AccountRecord[];
}

const count = z.number().optional();
const limits = z.object({
  requestsPerMinute: count,
  tokensPerMinute: count,
  concurrentRequests: count,
  monthlyNanoUsd: count,
  totalNanoUsd: count,
});
const grant = {
  id: z.string(),
  models: z.array(z.string()).nullable(),
  limits,
  modelLimits: z.record(z.string(), limits),
  labels: z.record(z.string(), z.string()),
  createdAt: z.number(),
};
const keyRecord = z.object({
  ...grant,
  sha256: z.string(),
  hint: z.string(),
  account: z.string(),
  expiresAt: z.number().nullable(),
});
const accountRecord = z.object({ ...grant, isPrepaid: z.boolean() });

export function createSqlDirectory(sql: Sql): SqlDirectory {
  function account(id: string): AccountRecord | undefined {
    const [row] = sql.all("SELECT record FROM account_records WHERE id = ?", id);
    return row === undefined ? undefined : accountRecord.parse(JSON.parse(String(row.record)));
  }

  function putAccount(record: AccountRecord): void {
    const createdAt = account(record.id)?.createdAt ?? record.createdAt;
    sql.run(
      "INSERT OR REPLACE INTO account_records VALUES (?, ?, ?)",
      record.id,
      JSON.stringify({ ...record, createdAt }),
      createdAt,
    );
  }

  return {
    findKey(sha256) {
      const [row] = sql.all("SELECT record, revoked_at FROM keys WHERE sha256 = ?", sha256);
      if (row === undefined) return undefined;
      const key = readKey(row);
      const owner = account(key.account);
      if (owner === undefined) throw new Error(`The account ${key.account} of key ${key.id} is not there`);
      return { key, account: owner };
    },
    createKey(key) {
      const [taken] = sql.all("SELECT id FROM keys WHERE id = ? OR sha256 = ?", key.id, key.sha256);
      if (taken !== undefined) throw new Error(`The key ${key.id} is there already, by its id or its hash`);
      if (account(key.account) === undefined) putAccount(plainAccount(key.account, key.createdAt));
      const { revokedAt, ...record } = key;
      sql.run(
        "INSERT INTO keys (id, sha256, account, record, created_at, revoked_at) VALUES (?, ?, ?, ?, ?, ?)",
        key.id,
        key.sha256,
        key.account,
        JSON.stringify(record),
        key.createdAt,
        revokedAt,
      );
    },
    revokeKey: (id, at) =>
      sql.run("UPDATE keys SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?", at, id) > 0,
    keys: (of) =>
      (of === undefined
        ? sql.all("SELECT record, revoked_at FROM keys ORDER BY created_at, id")
        : sql.all("SELECT record, revoked_at FROM keys WHERE account = ? ORDER BY created_at, id", of)
      ).map(readKey),
    account,
    putAccount,
    accounts: () =>
      sql
        .all("SELECT record FROM account_records ORDER BY created_at, id")
        .map((row) => accountRecord.parse(JSON.parse(String(row.record)))),
  };
}

function readKey(row: SqlRow): KeyRecord {
  const record = keyRecord.parse(JSON.parse(String(row.record)));
  return { ...record, revokedAt: row.revoked_at === null ? null : Number(row.revoked_at) };
}

/** An account that a key named first: it pays later, and has no limits. */
function plainAccount(id: string, createdAt: number): AccountRecord {
  return { id, isPrepaid: false, models: null, limits: {}, modelLimits: {}, labels: {}, createdAt };
}
