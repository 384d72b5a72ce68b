import type { Books } from "./books.ts";
import type { Directory } from "./directory.ts";
import type { Ledger } from "./ledger.ts";

/** One place where money and keys are kept: memory, SQLite, Postgres, or Durable Objects. */
export interface Store {
  readonly ledger: Ledger;
  readonly books: Books;
  readonly directory: Directory;
  /** A call travels far (the edge): what can't be refused is held beside the engine's work, not waited for before it. */
  readonly isDistant: boolean;
  /** Once; whatever was asked before is finished. */
  close(): Promise<void>;
}
