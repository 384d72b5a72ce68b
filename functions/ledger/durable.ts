import { createDurable, proxyDurable } from "itty-durable";
import type { Books } from "../../shared/books.ts";
import { earliestDue } from "../../shared/sql-store/earliest-due.ts";
import type { Sql } from "../../shared/sql-store/sql.ts";
import { createSqlStore, type Transaction, type Write } from "../../shared/sql-store/store.ts";
import type { Log } from "../deps.ts";
import { createListing, type ObjectKv } from "./listing.ts";
import { objectSql, type SqlObjectStorage } from "./object-sql.ts";
import {
  decodeQuestion,
  encodeQuestion,
  FIRST_CALLS,
  type Parts,
  type Question,
  type Reply,
} from "./protocol.ts";

/**
 * The one place that knows itty-durable (2.4.1). Its traps, and what keeps them shut:
 * - its stubs answer `.then`, so that awaiting or returning one hangs: none leaves `askObject`;
 * - a method that returns undefined answers a raw 204, and a thrown error loses all but its message: replies are values;
 * - arguments travel as JSON in a header: one ASCII string, of ids and safe integers;
 * - a name of 64 hex digits is taken for an object's id: `durable-store.ts` prefixes names;
 * - it copies every binding, secrets too, onto the object's state: it is given none;
 * - it keeps the object's properties where it persists: there are none, and state lives in `storage.sql`.
 */

/** The binding; all of it that is used here. */
export interface ObjectNamespace {
  idFromName(name: string): unknown;
}

/** Puts a question to the object of that name. Rejects where it can't be reached, with the platform's flags on the error. */
export async function askObject(
  namespace: ObjectNamespace,
  name: string,
  question: Question,
): Promise<Reply> {
  return await proxyDurable(namespace, { parse: true }).get(name).ask(encodeQuestion(question));
}

/** A Durable Object's state; all of it that is used here. */
export interface ObjectState {
  readonly storage: ObjectStorage;
}

interface ObjectStorage extends SqlObjectStorage {
  readonly kv: ObjectKv;
  setAlarm(at: number): Promise<void>;
}

export interface LedgerObjectOptions {
  /** Unix ms. */
  readonly now: () => number;
  /** Ids of the webhooks that are told of each receipt. */
  readonly webhooks: readonly string[];
  /** Sends what is due, and writes down what came of it. */
  readonly deliver: (books: Books) => Promise<unknown>;
  readonly log: Log;
}

/** When an alarm that failed goes off again, in ms. */
const ALARM_RETRY_MS = 30_000;
const IS_LISTED = "is listed";

/**
 * The class of the objects: one account's ledger and books each, and the directory. What a question writes is one
 * transaction, with the alarm in it. The alarm settles holds whose lease has run out, and tells webhooks; it is always
 * set to the earliest of these.
 *
 * @param optionsOf - from the Worker's bindings; called when an object wakes up.
 */
export function createLedgerObject(optionsOf: (env: Record<string, unknown>) => LedgerObjectOptions) {
  return class LedgerObject extends createDurable() {
    readonly #storage: ObjectStorage;
    readonly #sql: Sql;
    readonly #options: LedgerObjectOptions;
    readonly #parts: Parts;
    #isListed: boolean;
    /** When the alarm goes off, by our clock; null where that isn't known. */
    #armedAt: number | null = null;

    constructor(state: ObjectState, env: Record<string, unknown>) {
      super(state);
      const { storage } = state;
      this.#storage = storage;
      this.#sql = objectSql(storage);
      this.#options = optionsOf(env);
      const createWrite = (transaction: Transaction): Write => {
        return async (work) => {
          const written = transaction(work);
          this.#arm();
          return written;
        };
      };
      this.#parts = {
        ...createSqlStore(this.#sql, { ...this.#options, createWrite }),
        listing: createListing(storage.kv),
      };
      this.#isListed = storage.kv.get(IS_LISTED) === true;
    }

    /** The one method that is called from outside. */
    async ask(text: string): Promise<Reply> {
      const { part, method, args, isListed } = decodeQuestion(text);
      if (FIRST_CALLS.has(method) && !this.#isListed) {
        if (!isListed) return { state: "unlisted" };
        this.#storage.kv.put(IS_LISTED, true);
        this.#isListed = true;
      }
      try {
        const call: unknown = Reflect.get(this.#parts[part], method);
        if (typeof call !== "function") throw new Error(`${part} has no ${method}`);
        return { state: "answered", value: await Reflect.apply(call, undefined, args) };
      } catch (error) {
        return { state: "threw", message: error instanceof Error ? error.message : String(error) };
      }
    }

    async alarm(): Promise<void> {
      this.#armedAt = null;
      const { now, deliver, log } = this.#options;
      try {
        await this.#parts.ledger.sweep(now());
        await deliver(this.#parts.books);
        this.#arm();
      } catch (error) {
        log.error("ledger alarm failed", { error: String(error) });
        this.#armAt(now() + ALARM_RETRY_MS);
      }
    }

    #arm(): void {
      const dueAt = earliestDue(this.#sql);
      if (dueAt !== null && (this.#armedAt === null || dueAt < this.#armedAt)) this.#armAt(dueAt);
    }

    #armAt(at: number): void {
      this.#armedAt = at;
      // Alarms go by the platform's clock, which need not be the ledger's. Not awaited: it is written with all else that
      // this turn writes, and the answer waits for that.
      void this.#storage.setAlarm(Date.now() + Math.max(0, at - this.#options.now()));
    }
  };
}
