import type { Limits } from "./ledger.ts";

/** Who may ask, and who pays. `test/contracts/directory.ts` is these promises as tests. */
export interface Directory {
  /** The key with this SHA-256 and its account, whatever their state; undefined for a key that isn't known. */
  findKey(sha256: string): Promise<KeyOwner | undefined>;
  /** Throws an Error where the id or the hash is taken; an account that isn't there is made, postpaid. */
  createKey(key: KeyRecord): Promise<void>;
  /** From now on it is refused. False for an id that isn't there. */
  revokeKey(id: string, at: number): Promise<boolean>;
  /** Sorted by creation, then id. */
  keys(account?: string): Promise<readonly KeyRecord[]>;
  account(id: string): Promise<AccountRecord | undefined>;
  /** Makes it, or sets everything of it but `createdAt`. */
  putAccount(account: AccountRecord): Promise<void>;
  accounts(): Promise<readonly AccountRecord[]>;
}

export interface KeyOwner {
  readonly key: KeyRecord;
  readonly account: AccountRecord;
}

/** What may be asked and how much, of a key or an account. */
export interface Grant {
  /** Model names that may be asked for; null: all. */
  readonly models: readonly string[] | null;
  readonly limits: Limits;
  /** Limits for single models, by name. */
  readonly modelLimits: Readonly<Record<string, Limits>>;
  readonly labels: Readonly<Record<string, string>>;
}

export interface KeyRecord extends Grant {
  readonly id: string;
  /** Lower-case hex of the whole key; the key itself is shown once and kept nowhere. */
  readonly sha256: string;
  /** Its last four characters, to tell keys apart. */
  readonly hint: string;
  readonly account: string;
  /** Unix ms. */
  readonly createdAt: number;
  readonly expiresAt: number | null;
  readonly revokedAt: number | null;
}

export interface AccountRecord extends Grant {
  readonly id: string;
  /** Its balance must cover every request; otherwise it pays later, within its limits. */
  readonly isPrepaid: boolean;
  readonly createdAt: number;
}
