import type { Sql, SqlRow, SqlValue } from "../../shared/sql-store/sql.ts";

/** A Durable Object's storage; all of it that is used here. */
export interface SqlObjectStorage {
  readonly sql: {
    exec(query: string, ...values: readonly SqlValue[]): Iterable<SqlRow> & { readonly rowsWritten: number };
  };
  transactionSync<T>(work: () => T): T;
}

/** The storage as our SQLite. It binds numbers as floating point: exact up to 2^53, but `?` in a division is no integer. */
export function objectSql(storage: SqlObjectStorage): Sql {
  return {
    all: (query, ...values) => [...storage.sql.exec(query, ...values)],
    run: (query, ...values) => storage.sql.exec(query, ...values).rowsWritten,
    transaction: (work) => storage.transactionSync(work),
    // Nobody else writes.
    snapshot: (work) => work(),
  };
}
