import type { Books, ReceiptFilter } from "../../shared/books.ts";
import type { Directory } from "../../shared/directory.ts";
import type { Ledger } from "../../shared/ledger.ts";
import { cursorOf } from "../../shared/sql-store/books.ts";
import type { Store } from "../../shared/store.ts";
import { mergeDue, mergePages, mergeTotals } from "./across.ts";
import { askObject, type ObjectNamespace } from "./durable.ts";
import { forEachAtOnce } from "./fan-out.ts";
import { createLookupCache } from "./lookup-cache.ts";
import { NOT_IDEMPOTENT, type Parts, type Question } from "./protocol.ts";
import { callObject } from "./retry.ts";

const DIRECTORY = "directory";
/** Prefixed: itty-durable would take a name of 64 hex digits for an object's id. */
const objectOf = (account: string): string => `acct:${account}`;

/** Objects asked at once where all are. */
const FAN_OUT = 8;

/**
 * Money and keys in Durable Objects: one for each account, and one directory. A request costs two round trips, `hold`
 * and `settle`, each to its account's object; an account's first one ever costs two more, which list its object. Keys
 * and accounts looked up are kept in this isolate for a while (`lookup-cache.ts`). What can't be reached is a 503.
 * One store an isolate.
 */
export function createDurableStore(
  namespace: ObjectNamespace,
  { now }: { readonly now: () => number },
): Store {
  const ask = createAsk(namespace);
  return {
    ledger: createLedger(ask),
    books: createBooks(ask),
    directory: createDirectory(ask, now),
    isDistant: true,
    close: async () => {},
  };
}

type Arguments<F> = F extends (...args: infer A) => unknown ? A : never;
type Answer<F> = F extends (...args: never[]) => Promise<infer A> ? A : never;

/** What the method of that object answers, or the Error that it throws. */
type Ask = <P extends keyof Parts, M extends keyof Parts[P] & string>(
  name: string,
  part: P,
  method: M,
  ...args: Arguments<Parts[P][M]>
) => Promise<Answer<Parts[P][M]>>;

function createAsk(namespace: ObjectNamespace): Ask {
  const send = (name: string, question: Question) =>
    callObject(() => askObject(namespace, name, question), question.method !== NOT_IDEMPOTENT);

  return async (name, part, method, ...args) => {
    const question = { part, method, args, isListed: false };
    let reply = await send(name, question);
    if (reply.state === "unlisted") {
      await send(DIRECTORY, { part: "listing", method: "add", args: [name], isListed: true });
      reply = await send(name, { ...question, isListed: true });
    }
    switch (reply.state) {
      case "answered":
        // JSON of what this very method answered in the object.
        return reply.value as never;
      case "threw":
        throw new Error(reply.message);
      case "unlisted":
        throw new Error(`${name} was listed and doesn't know it`);
      default:
        return reply satisfies never;
    }
  };
}

function createLedger(ask: Ask): Ledger {
  return {
    hold: (hold) => ask(objectOf(hold.account), "ledger", "hold", hold),
    checkpoint: (ref, reading) => ask(objectOf(ref.account), "ledger", "checkpoint", ref, reading),
    settle: (ref, settlement) => ask(objectOf(ref.account), "ledger", "settle", ref, settlement),
    void: (ref) => ask(objectOf(ref.account), "ledger", "void", ref),
    credit: (account, credit) => ask(objectOf(account), "ledger", "credit", account, credit),
    balance: (account) => ask(objectOf(account), "ledger", "balance", account),
    async sweep(now) {
      let swept = 0;
      await forEachAtOnce(listedObjects(ask), FAN_OUT, async (name) => {
        const count = await ask(name, "ledger", "sweep", now);
        swept += count;
      });
      return swept;
    },
  };
}

function createBooks(ask: Ask): Books {
  /** Asks the book that `filter` names, else all of them. */
  const each = (filter: Pick<ReceiptFilter, "account">, task: (name: string) => Promise<void>) =>
    filter.account === undefined
      ? forEachAtOnce(listedObjects(ask), FAN_OUT, task)
      : task(objectOf(filter.account));
  const deliveredOf = ({ receipt }: { readonly receipt: { readonly account: string } }) =>
    objectOf(receipt.account);

  return {
    async accounts() {
      const accounts: string[] = [];
      await each({}, async (name) => void accounts.push(...(await ask(name, "books", "accounts"))));
      return accounts.sort();
    },
    receipt: (ref) => ask(objectOf(ref.account), "books", "receipt", ref),
    async receipts(query) {
      const merged = mergePages(query.limit, cursorOf);
      await each(query, async (name) => merged.add(await ask(name, "books", "receipts", query)));
      return merged.whole();
    },
    async totals(query) {
      const merged = mergeTotals(query);
      await each(query, async (name) => merged.add(await ask(name, "books", "totals", query)));
      return merged.whole();
    },
    async due(now, limit) {
      const merged = mergeDue(limit);
      await each({}, async (name) => merged.add(await ask(name, "books", "due", now, limit)));
      return merged.whole();
    },
    delivered: (delivery) => ask(deliveredOf(delivery), "books", "delivered", delivery),
    postpone: (delivery, at) => ask(deliveredOf(delivery), "books", "postpone", delivery, at),
    async verify() {
      const breaches: string[] = [];
      await each({}, async (name) => void breaches.push(...(await ask(name, "books", "verify"))));
      return breaches.sort();
    },
  };
}

function createDirectory(ask: Ask, now: () => number): Directory {
  const keys = createLookupCache((hash) => ask(DIRECTORY, "directory", "findKey", hash), now);
  const accounts = createLookupCache((id) => ask(DIRECTORY, "directory", "account", id), now);
  /** What this isolate changes it sees at once; the others when their answers are too old. */
  const changing = async <T>(change: Promise<T>): Promise<T> => {
    try {
      return await change;
    } finally {
      keys.clear();
      accounts.clear();
    }
  };
  return {
    findKey: keys.get,
    account: accounts.get,
    // JSON makes null of an undefined argument.
    keys: (account) => ask(DIRECTORY, "directory", "keys", ...(account === undefined ? [] : [account])),
    accounts: () => ask(DIRECTORY, "directory", "accounts"),
    createKey: (key) => changing(ask(DIRECTORY, "directory", "createKey", key)),
    revokeKey: (id, at) => changing(ask(DIRECTORY, "directory", "revokeKey", id, at)),
    putAccount: (account) => changing(ask(DIRECTORY, "directory", "putAccount", account)),
  };
}

/** Every object that may have money in it, a page at a time. */
async function* listedObjects(ask: Ask): AsyncGenerator<string, void, void> {
  let last: string | undefined = "";
  while (last !== undefined) {
    const page: readonly string[] = await ask(DIRECTORY, "listing", "after", last);
    yield* page;
    last = page.at(-1);
  }
}
