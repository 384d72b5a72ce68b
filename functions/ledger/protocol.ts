import type { Books } from "../../shared/books.ts";
import type { Directory } from "../../shared/directory.ts";
import type { Ledger } from "../../shared/ledger.ts";
import type { Listing } from "./listing.ts";

/** What the Worker and an object say to each other. */

/** What an object can be asked. */
export interface Parts {
  readonly ledger: Ledger;
  readonly books: Books;
  readonly directory: Directory;
  readonly listing: Listing;
}

export interface Question {
  readonly part: keyof Parts;
  readonly method: string;
  readonly args: readonly unknown[];
  /** The object is listed. */
  readonly isListed: boolean;
}

export type Reply =
  | { readonly state: "answered"; readonly value?: unknown }
  | { readonly state: "threw"; readonly message: string }
  /** Nothing was done: the object must be listed first. */
  | { readonly state: "unlisted" };

/** The calls that can be an account's first, and write its first row. */
export const FIRST_CALLS: ReadonlySet<string> = new Set(["hold", "credit"]);
/** Asked twice, it says that the key is taken; all others are idempotent. */
export const NOT_IDEMPOTENT = "createKey";

/** JSON in ASCII alone: it travels in a header. */
export function encodeQuestion(question: Question): string {
  return JSON.stringify(question).replace(
    /[^ -~]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** @throws SyntaxError where it is no JSON; only the Worker asks, so its shape is trusted. */
export function decodeQuestion(text: string): Question {
  return JSON.parse(text);
}
