import type { Scope } from "./ledger.ts";

/** Who is asking, and who pays. */
export interface Principal {
  readonly account: string;
  /** Null where the server is open. */
  readonly keyId: string | null;
  /** The account's balance must cover every request. */
  readonly isPrepaid: boolean;
  /** Models that may be asked for, by key and account; null: all. */
  readonly models: readonly string[] | null;
  /** Every limit that a request for `model` counts against; those without limits are left out. */
  scopesFor(model: string): readonly Scope[];
}
