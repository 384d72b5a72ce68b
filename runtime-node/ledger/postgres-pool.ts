import postgres from "postgres";
import type { Log } from "../../functions/deps.ts";
import { type ApiError, unavailable } from "../../shared/openai/errors.ts";

/** Amounts are bigints there and safe integers here. */
export type Sql = postgres.Sql<{ readonly bigint: number }>;

export interface Pool {
  /**
   * What `work` resolves with; tried again where the database asks for that. Rejects with a 503 when the database can't
   * be asked now: the statement may have been done or not.
   */
  run<T>(work: (sql: Sql) => Promise<T>): Promise<T>;
  /** Waits for what was asked before. */
  close(): Promise<void>;
}

/** Longer than the database itself lets a statement take: a connection that is silent for so long is dead. */
const SILENCE_MS = 10_000;
/** Of a pool that is left: what still runs in it may end. */
const LEAVE_S = 5;
/** A database that is away must not cost a pool for each request. */
const MIN_POOL_MS = 100;
const MAX_TRIES = 5;
const RETRY_AFTER_MS = 1000;

/** Classes of SQLSTATE that tell of a fault in our statement; all others, of a database that can't serve now. */
const FAULTS = /^(0A|21|22|23|42|P0)/;
/** Serialization failure, deadlock: nothing was done, and the same statement works when it is alone. */
const TRY_AGAIN = new Set(["40001", "40P01"]);
/** A connection that was there is not any more. */
const LOST = new Set(["NO_ANSWER", "CONNECTION_CLOSED", "CONNECT_TIMEOUT", "ECONNRESET", "EPIPE"]);

/** Connections to the database of `url`, opened when needed. Throws as `connect` does. */
export function createPool(url: string, log: Log): Pool {
  const schema = readSchema(url);
  let sql = connect(url, schema);
  let openedAt = performance.now();
  let isDown = false;

  /**
   * Where one connection is lost, all are left: the driver (3.4.9) sometimes writes into one that it opened again
   * nothing, until its time is out; and of a host that vanished the system tells only after a quarter of an hour.
   */
  const leave = (lost: Sql): void => {
    if (lost !== sql || performance.now() - openedAt < MIN_POOL_MS) return;
    sql = connect(url, schema);
    openedAt = performance.now();
    void lost.end({ timeout: LEAVE_S });
  };
  const attempt = async <T>(work: (sql: Sql) => Promise<T>): Promise<T> => {
    const used = sql;
    const silence = Promise.withResolvers<never>();
    const timer = setTimeout(() => silence.reject(noAnswer()), SILENCE_MS);
    try {
      const result = await Promise.race([work(used), silence.promise]);
      if (isDown) log.info("Postgres answers again");
      isDown = false;
      return result;
    } catch (error) {
      if (hasCode(error) && LOST.has(error.code)) leave(used);
      throw error;
    } finally {
      clearTimeout(timer);
    }
  };
  const down = (error: CodedError): ApiError => {
    if (!isDown) {
      const { code, message: reason } = error;
      log.error("Postgres can't be asked: new requests get 503 until it can", { code, reason });
    }
    isDown = true;
    return unavailable("The ledger can't be reached now. Try again shortly.", RETRY_AFTER_MS, error);
  };
  const run = async <T>(work: (sql: Sql) => Promise<T>): Promise<T> => {
    for (let tries = 1; ; tries += 1) {
      try {
        return await attempt(work);
      } catch (error) {
        if (!hasCode(error) || FAULTS.test(error.code)) throw error;
        if (!TRY_AGAIN.has(error.code) || tries === MAX_TRIES) throw down(error);
      }
    }
  };

  const running = new Set<Promise<unknown>>();
  return {
    async run(work) {
      const result = run(work);
      running.add(result);
      try {
        return await result;
      } finally {
        running.delete(result);
      }
    },
    async close() {
      await Promise.allSettled(running);
      await sql.end({ timeout: 0 });
    },
  };
}

/** Throws an Error, which says nothing of the URL, where it can't be read. */
export function connect(url: string, schema: string): Sql {
  try {
    return postgres(url, {
      connect_timeout: 5,
      // A request must hear at once that the database is gone, not wait with an ever longer backoff.
      backoff: () => 0.1,
      idle_timeout: 60,
      // Saves a query a connection: no statement of ours takes or gives arrays.
      fetch_types: false,
      onnotice: () => {},
      types: { bigint: { to: 20, from: [20], serialize: String, parse: safeInteger } },
      connection: {
        application_name: "sluice",
        search_path: schema,
        statement_timeout: 5000,
        idle_in_transaction_session_timeout: 10_000,
        // The functions lock an account's row and then read: a snapshot from before the lock would be an old truth.
        default_transaction_isolation: "read committed",
        // All look up by key: planning again for each value costs more than the statement.
        plan_cache_mode: "force_generic_plan",
      },
    });
  } catch {
    // Its own error shows the URL, password and all.
    throw new Error(
      "`ledger.url` is no URL of a Postgres database; postgres://user:password@host/database is one",
    );
  }
}

/** The schema that all names are looked up in: `search_path` of the URL, else `sluice`. */
export function readSchema(url: string): string {
  const schema = new URLSearchParams(url.split("?")[1] ?? "").get("search_path") ?? "sluice";
  if (/^[a-z_][a-z0-9_]{0,62}$/.test(schema)) return schema;
  throw new Error(
    `\`search_path\` of \`ledger.url\` is ${JSON.stringify(schema)}; it must name one schema: lower-case letters, digits, underscores`,
  );
}

function safeInteger(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new RangeError(`${text} is beyond exact integers`);
  return value;
}

type CodedError = Error & { readonly code: string };

function hasCode(error: unknown): error is CodedError {
  return error instanceof Error && "code" in error && typeof error.code === "string";
}

function noAnswer(): CodedError {
  return Object.assign(new Error(`Postgres gave no answer in ${SILENCE_MS} ms`), { code: "NO_ANSWER" });
}
