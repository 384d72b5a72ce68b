/** A SQLite database, spoken to synchronously: `node:sqlite` on the host, a Durable Object's storage at the edge. */
export interface Sql {
  all(query: string, ...values: readonly SqlValue[]): readonly SqlRow[];
  /** Rows changed. */
  run(query: string, ...values: readonly SqlValue[]): number;
  /** All of `work`, or nothing where it throws. May be nested. */
  transaction<T>(work: () => T): T;
}

export type SqlValue = string | number | null;
export type SqlRow = Readonly<Record<string, unknown>>;
