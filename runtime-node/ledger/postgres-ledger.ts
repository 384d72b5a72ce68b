import type {
  Balance,
  CreditResult,
  Hold,
  HoldResult,
  Ledger,
  Receipt,
  RequestRef,
  Scope,
} from "../../shared/ledger.ts";
import type { Owed } from "./postgres-owed.ts";
import type { Pool, Sql } from "./postgres-pool.ts";
import type { RedisRates, Taken } from "./redis-rates.ts";

export interface PostgresLedgerOptions {
  readonly pool: Pool;
  readonly owed: Owed;
  /** Keeps the rates instead of the database while it can be reached. */
  readonly rates: RedisRates | undefined;
  readonly webhooks: readonly string[];
  readonly now: (() => number) | undefined;
}

/** What the rates of a hold that ended get back. */
interface Surplus {
  readonly surplus: number;
  readonly scopes: readonly Scope[];
}

/** Holds that one transaction of a sweep settles, so that nobody waits long for the account. */
const SWEEP_BATCH = 200;

/** The ledger in Postgres: every call is one statement, which is one transaction. */
export function createPostgresLedger(options: PostgresLedgerOptions): Ledger {
  const { pool, owed, rates, now } = options;
  const webhooks = JSON.stringify(options.webhooks);
  /** Null: the database's own clock decides. */
  const time = (): number | null => now?.() ?? null;
  /** What a function of the schema gives. */
  const call = <T>(query: (sql: Sql) => Promise<readonly { readonly value: T }[]>): Promise<T> =>
    pool.run(async (sql) => {
      const [row] = await query(sql);
      if (row === undefined) throw new Error("A function of the ledger gave no row");
      return row.value;
    });

  const giveBack = async ({ account }: RequestRef, { surplus, scopes }: Surplus): Promise<void> => {
    if (surplus > 0) await rates?.giveBack(account, scopes, surplus);
  };
  const settle = async (ref: RequestRef, settlement: string): Promise<Receipt> => {
    const settled = await call(
      (sql) => sql<{ value: (Surplus & { readonly receipt: Receipt }) | null }[]>`
        SELECT settle_1(${ref.account}, ${ref.requestId}, ${settlement}, ${webhooks}, ${time()}) AS value`,
    );
    if (settled === null)
      throw new Error(`No hold for request ${ref.requestId}: it was never held, or voided`);
    await giveBack(ref, settled);
    return settled.receipt;
  };
  const holdNow = (hold: Hold, taken: Taken | undefined): Promise<HoldResult> => {
    const verdict = taken && JSON.stringify({ refusal: taken.refusal, limits: taken.limits });
    return call(
      (sql) => sql<{ value: HoldResult }[]>`
        SELECT hold_1(${JSON.stringify(hold)}, ${verdict ?? null}, ${time()}) AS value`,
    );
  };

  return {
    async hold(hold) {
      const taken = await rates?.take(hold);
      if (taken === undefined) return holdNow(hold, undefined);
      const result = await holdNow(hold, taken).catch(async (error: unknown) => {
        await taken.undo();
        throw error;
      });
      if (result.ok && !result.isRepeat) return result;
      const limits = await taken.undo();
      return !result.ok && "limits" in result ? { ...result, limits } : result;
    },
    async checkpoint(ref, { usage }) {
      await call(
        (sql) => sql<{ value: null }[]>`
          SELECT checkpoint_1(${ref.account}, ${ref.requestId}, ${JSON.stringify(usage)}, ${time()})::text AS value`,
      );
    },
    settle: (ref, settlement) => {
      const text = JSON.stringify(settlement);
      return owed.write(() => settle(ref, text));
    },
    void: (ref) =>
      owed.write(async () => {
        const voided = await call(
          (sql) => sql<{ value: Surplus | null }[]>`
            SELECT void_1(${ref.account}, ${ref.requestId}, ${time()}) AS value`,
        );
        if (voided !== null) await giveBack(ref, voided);
      }),
    async sweep(at) {
      // What this host knows of its requests counts more than that a lease ran out while the database was away.
      await owed.flush();
      const accounts = await pool.run(
        (sql) => sql<{ account: string }[]>`
          SELECT DISTINCT account FROM holds WHERE expires_at <= ${at} ORDER BY account`,
      );
      let total = 0;
      for (const { account } of accounts) {
        for (let swept = SWEEP_BATCH; swept === SWEEP_BATCH; total += swept) {
          swept = await call(
            (sql) => sql<{ value: number }[]>`
              SELECT sweep_1(${account}, ${at}, ${SWEEP_BATCH}, ${webhooks}, ${time()}) AS value`,
          );
        }
      }
      return total;
    },
    credit: (account, { id, amountNanoUsd }) =>
      call(
        (sql) => sql<{ value: CreditResult }[]>`
          SELECT credit_1(${account}, ${id}, ${amountNanoUsd}, ${time()}) AS value`,
      ),
    balance: (account) => call((sql) => sql<{ value: Balance }[]>`SELECT balance_1(${account}) AS value`),
  };
}
