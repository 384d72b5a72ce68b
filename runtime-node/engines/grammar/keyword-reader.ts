import { PatternError } from "./pattern-syntax.ts";
import { pointer, Refusal, TooLarge } from "./refusal.ts";
import type { SchemaObject, SchemaStore } from "./schema-node.ts";

/** A schema whose keywords are being read. */
export interface Keywords {
  readonly schema: SchemaObject;
  readonly path: string;
  readonly store: SchemaStore;
}

/** The value of a keyword, if the schema has it; refuses one of the wrong kind. */
export function read<T>(
  from: Keywords,
  keyword: string,
  is: (value: unknown) => value is T,
  kind: string,
): T | undefined {
  if (!Object.hasOwn(from.schema, keyword)) return undefined;
  const value = from.schema[keyword];
  if (is(value)) return value;
  throw new Refusal(keyword, pointer(from.path, keyword), `must be ${kind}`);
}

export function readCount(from: Keywords, keyword: string): number | undefined {
  const isCount = (value: unknown): value is number =>
    typeof value === "number" && Number.isInteger(value) && value >= 0;
  return read(from, keyword, isCount, "a non-negative integer");
}

/** Runs what may grow past its bounds on behalf of a keyword. */
export function within<T>(from: Keywords, keyword: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof TooLarge || error instanceof PatternError) {
      throw new Refusal(keyword, pointer(from.path, keyword), error.message);
    }
    throw error;
  }
}
