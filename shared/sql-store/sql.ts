/**
 * A SQLite database, spoken to synchronously: `node:sqlite` on the host, a Durable Object's storage at the edge. Either
 * may bind numbers as floating point: exact up to 2^53, but `?` in a division is no integer.
 */
export interface Sql {
  all(query: string, ...values: readonly SqlValue[]): readonly SqlRow[];
  /** Rows changed. */
  run(query: string, ...values: readonly SqlValue[]): number;
  /** All of `work`, or nothing where it throws. Never within another one. */
  transaction<T>(work: () => T): T;
  /** What `work` reads is of one moment, whatever other processes write meanwhile. */
  snapshot<T>(work: () => T): T;
}

export type SqlValue = string | number | null;
export type SqlRow = Readonly<Record<string, unknown>>;
