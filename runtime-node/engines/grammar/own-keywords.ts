/** What a schema says by itself, without the schemas it combines. */
import { formatLanguage } from "./formats.ts";
import { type Keywords, read, readCount, within } from "./keyword-reader.ts";
import { ANY_NUMBER, bounded, intersectNumbers, listed, multiples, type NumberSet } from "./numbers.ts";
import { ownArray } from "./own-array.ts";
import { ownObject } from "./own-object.ts";
import { patternLanguage } from "./pattern.ts";
import { pointer, Refusal } from "./refusal.ts";
import { conjunctionOf, isObject, type SchemaNode, type SchemaStore } from "./schema-node.ts";
import { ANY_ARRAY, ANY_OBJECT, EVERYTHING, type Shape, type ShapeType } from "./shape.ts";
import { ANY_STRING, intersectStrings, type StringSet, stringsOf, stringWords } from "./strings.ts";

const TYPES: Readonly<Record<string, ShapeType>> = {
  object: "object",
  array: "array",
  string: "string",
  number: "number",
  integer: "number",
  boolean: "boolean",
  null: "null",
};

/** Throws `Refusal`. */
export function ownShapes(node: SchemaNode, store: SchemaStore): Shape[] {
  if (typeof node.schema === "boolean") return node.schema ? [...EVERYTHING] : [];
  const from: Keywords = { schema: node.schema, path: node.path, store };
  const types = typesOf(from);
  const allows = (type: string): boolean => types === undefined || types.has(type);
  const shapes: Shape[] = [];
  for (const full of EVERYTHING) {
    if (full.type === "number") {
      if (!allows("number") && !allows("integer")) continue;
      shapes.push({ type: "number", ...ownNumber(from, !allows("number")) });
    } else if (allows(full.type)) {
      shapes.push(
        full.type === "string"
          ? { type: "string", ...ownString(from) }
          : full.type === "array"
            ? ownArray(from)
            : full.type === "object"
              ? ownObject(from)
              : full,
      );
    }
  }
  return shapes;
}

function typesOf(from: Keywords): ReadonlySet<string> | undefined {
  const { schema, path } = from;
  if (!Object.hasOwn(schema, "type")) return undefined;
  const list: readonly unknown[] = Array.isArray(schema["type"]) ? schema["type"] : [schema["type"]];
  const types = new Set<string>();
  for (const type of list) {
    if (typeof type !== "string" || !Object.hasOwn(TYPES, type)) {
      throw new Refusal("type", pointer(path, "type"), `${JSON.stringify(type)} is no JSON type`);
    }
    types.add(type);
  }
  if (schema["nullable"] === true) types.add("null");
  return types;
}

function isNumber(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

function ownNumber(from: Keywords, isInteger: boolean): NumberSet {
  let set: NumberSet = { ...ANY_NUMBER, isInteger };
  const add = (keyword: string, make: () => NumberSet): void => {
    set = within(from, keyword, () => intersectNumbers(set, make()));
  };
  for (const side of ["minimum", "maximum"] as const) {
    const exclusive = side === "minimum" ? "exclusiveMinimum" : "exclusiveMaximum";
    const bound = read(from, side, isNumber, "a number");
    const strict = from.schema[exclusive];
    if (bound !== undefined) add(side, () => bounded(side, bound, strict === true));
    if (typeof strict === "boolean" || strict === undefined) continue; // draft 4: a flag on the bound beside it
    const value = read(from, exclusive, isNumber, "a number");
    if (value !== undefined) add(exclusive, () => bounded(side, value, true));
  }
  const divisor = read(from, "multipleOf", isNumber, "a number");
  if (divisor !== undefined) add("multipleOf", () => multiples(divisor));
  return set;
}

function ownString(from: Keywords): StringSet {
  const min = readCount(from, "minLength") ?? 0;
  const max = readCount(from, "maxLength");
  let set: StringSet = ANY_STRING;
  const add = (keyword: string, make: () => StringSet): void => {
    set = within(from, keyword, () => intersectStrings(set, make()));
  };
  const pattern = read(from, "pattern", isText, "a string");
  if (pattern !== undefined) add("pattern", () => stringsOf(patternLanguage(pattern)));
  const language = formatLanguage(read(from, "format", isText, "a string") ?? "");
  if (language !== undefined) add("format", () => stringsOf(language));
  if (min > 0 || max !== undefined) {
    add(max === undefined ? "minLength" : "maxLength", () => ({ min, max, dfa: undefined }));
  }
  return set;
}

/** The shapes of listed values (`enum`, `const`). */
export function shapesOfValues(values: readonly unknown[], path: string, store: SchemaStore): Shape[] {
  const strings = values.filter(isText);
  const numbers = values.filter(isNumber);
  const booleans = values.filter((value): value is boolean => typeof value === "boolean");
  const constant = (value: unknown) => conjunctionOf(store.node({ const: value }, path));
  return [
    ...(strings.length > 0 ? [{ type: "string", ...stringWords(strings) } as const] : []),
    ...(numbers.length > 0 ? [{ type: "number", ...listed([...new Set(numbers)]) } as const] : []),
    ...(booleans.length > 0 ? [{ type: "boolean", values: booleans } as const] : []),
    ...(values.includes(null) ? [{ type: "null" } as const] : []),
    ...values.flatMap((value): Shape[] => {
      if (Array.isArray(value)) {
        const count = value.length;
        return [{ ...ANY_ARRAY, prefix: value.map(constant), rest: undefined, min: count, max: count }];
      }
      if (!isObject(value)) return [];
      const properties = new Map(Object.entries(value).map(([key, item]) => [key, constant(item)]));
      return [{ ...ANY_OBJECT, properties, required: new Set(properties.keys()), extras: [] }];
    }),
  ];
}
