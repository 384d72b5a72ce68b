import type { AccountRecord, Directory, Grant, KeyRecord } from "../../shared/directory.ts";
import type { Pool, Sql } from "./postgres-pool.ts";

interface KeyRow extends Omit<KeyRecord, keyof Grant> {
  readonly grants: Grant;
}

interface AccountRow extends Omit<AccountRecord, keyof Grant> {
  readonly grants: Grant;
}

/** Keys and accounts in Postgres. */
export function createPostgresDirectory({ run }: Pool): Directory {
  return {
    findKey: (sha256) =>
      run(async (sql) => {
        const [row] = await sql<{ key: KeyRow; account: AccountRow }[]>`
          SELECT ${keyObject(sql)} AS key, ${accountObject(sql)} AS account
          FROM keys k JOIN accounts a ON a.id = k.account WHERE k.sha256 = ${sha256}`;
        return row && { key: toRecord(row.key), account: toRecord(row.account) };
      }),
    createKey: (key) =>
      run(async (sql) => {
        try {
          await sql`
            WITH payer AS (
              INSERT INTO accounts VALUES (${key.account}, false, ${NO_GRANT}::text::jsonb, ${key.createdAt})
              ON CONFLICT DO NOTHING
            )
            INSERT INTO keys VALUES (${key.id}, ${key.sha256}, ${key.hint}, ${key.account},
              ${grantOf(key)}::text::jsonb, ${key.createdAt}, ${key.expiresAt}, ${key.revokedAt})`;
        } catch (error) {
          if (!isTaken(error)) throw error;
          throw new Error(`A key with the id \`${key.id}\` or the same hash is there already`, {
            cause: error,
          });
        }
      }),
    revokeKey: (id, at) =>
      run(async (sql) => {
        const revoked = await sql`UPDATE keys SET revoked_at = coalesce(revoked_at, ${at}) WHERE id = ${id}`;
        return revoked.count === 1;
      }),
    keys: (account) =>
      run(async (sql) => {
        const rows = await sql<{ key: KeyRow }[]>`
          SELECT ${keyObject(sql)} AS key FROM keys k
          ${account === undefined ? sql`` : sql`WHERE account = ${account}`} ORDER BY created_at, id`;
        return rows.map(({ key }) => toRecord(key));
      }),
    account: (id) =>
      run(async (sql) => {
        const [row] = await sql<{ account: AccountRow }[]>`
          SELECT ${accountObject(sql)} AS account FROM accounts a WHERE id = ${id}`;
        return row && toRecord(row.account);
      }),
    putAccount: (account) =>
      run(async (sql) => {
        await sql`
          INSERT INTO accounts
          VALUES (${account.id}, ${account.isPrepaid}, ${grantOf(account)}::text::jsonb, ${account.createdAt})
          ON CONFLICT (id) DO UPDATE SET is_prepaid = excluded.is_prepaid, grants = excluded.grants`;
      }),
    accounts: () =>
      run(async (sql) => {
        const rows = await sql<{ account: AccountRow }[]>`
          SELECT ${accountObject(sql)} AS account FROM accounts a ORDER BY created_at, id`;
        return rows.map(({ account }) => toRecord(account));
      }),
  };
}

const NO_GRANT = grantOf({ models: null, limits: {}, modelLimits: {}, labels: {} });

function grantOf({ models, limits, modelLimits, labels }: Grant): string {
  return JSON.stringify({ models, limits, modelLimits, labels });
}

function toRecord<T extends { readonly grants: Grant }>({ grants, ...row }: T): Omit<T, "grants"> & Grant {
  return { ...row, ...grants };
}

function keyObject(sql: Sql) {
  return sql`jsonb_build_object('id', k.id, 'sha256', k.sha256, 'hint', k.hint, 'account', k.account,
    'grants', k.grants, 'createdAt', k.created_at, 'expiresAt', k.expires_at, 'revokedAt', k.revoked_at)`;
}

function accountObject(sql: Sql) {
  return sql`jsonb_build_object('id', a.id, 'isPrepaid', a.is_prepaid, 'grants', a.grants,
    'createdAt', a.created_at)`;
}

/** Unique violation. */
function isTaken(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "23505";
}
