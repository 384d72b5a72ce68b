import { acceptsText, type Dfa, intersectDfa, isEmpty } from "./automaton.ts";
import { intersectNumbers } from "./numbers.ts";
import { both, type Conjunction } from "./schema-node.ts";
import { type ArrayShape, isVoid, type KeyClass, type ObjectShape, type Shape } from "./shape.ts";
import { intersectStrings } from "./strings.ts";

/** What has both shapes; undefined when nothing has. Throws `TooLarge`. */
export function intersectShapes(a: Shape, b: Shape): Shape | undefined {
  const shape = intersection(a, b);
  return shape === undefined || isVoid(shape) ? undefined : shape;
}

function intersection(a: Shape, b: Shape): Shape | undefined {
  switch (a.type) {
    case "null":
      return b.type === "null" ? a : undefined;
    case "boolean":
      return b.type === "boolean"
        ? { type: "boolean", values: a.values.filter((value) => b.values.includes(value)) }
        : undefined;
    case "number":
      return b.type === "number" ? { type: "number", ...intersectNumbers(a, b) } : undefined;
    case "string":
      return b.type === "string" ? { type: "string", ...intersectStrings(a, b) } : undefined;
    case "array":
      return b.type === "array" ? intersectArrays(a, b) : undefined;
    case "object":
      return b.type === "object" ? intersectObjects(a, b) : undefined;
    default:
      return a satisfies never;
  }
}

function lower(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined ? b : b === undefined ? a : Math.min(a, b);
}

/** The item at a place; undefined: there is none. */
function itemAt(shape: ArrayShape, place: number): Conjunction | undefined {
  return shape.prefix[place] ?? shape.rest;
}

function intersectArrays(a: ArrayShape, b: ArrayShape): ArrayShape | undefined {
  const prefix: Conjunction[] = [];
  let max = lower(a.max, b.max);
  const places = Math.max(a.prefix.length, b.prefix.length);
  for (let place = 0; place < places; place++) {
    const [left, right] = [itemAt(a, place), itemAt(b, place)];
    if (left === undefined || right === undefined) {
      max = lower(max, place);
      break;
    }
    prefix.push(both(left, right));
  }
  return {
    type: "array",
    prefix,
    rest: a.rest === undefined || b.rest === undefined ? undefined : both(a.rest, b.rest),
    min: Math.max(a.min, b.min),
    max,
    unique: a.unique ?? b.unique,
    contained: [...a.contained, ...b.contained],
  };
}

/** What an object says of the values under a key; undefined: the key is not allowed. */
export function valueUnder(shape: ObjectShape, key: string): Conjunction | undefined {
  const declared = shape.properties.get(key);
  if (declared !== undefined) return declared;
  return shape.extras.find(({ keys }) => keys === undefined || acceptsText(keys, key))?.value;
}

function intersectObjects(a: ObjectShape, b: ObjectShape): ObjectShape | undefined {
  const properties = new Map<string, Conjunction>();
  const required = new Set([...a.required, ...b.required]);
  for (const key of [...a.properties.keys(), ...b.properties.keys()]) {
    const [left, right] = [valueUnder(a, key), valueUnder(b, key)];
    if (left !== undefined && right !== undefined) properties.set(key, both(left, right));
    else if (required.has(key)) return undefined;
    else properties.set(key, FORBIDDEN);
  }
  const extras: KeyClass[] = [];
  for (const left of a.extras) {
    for (const right of b.extras) {
      const keys = intersectKeys(left.keys, right.keys);
      if (keys !== undefined && isEmpty(keys)) continue;
      extras.push({ keys, value: both(left.value, right.value) });
    }
  }
  return {
    type: "object",
    properties,
    required,
    extras,
    min: Math.max(a.min, b.min),
    max: lower(a.max, b.max),
    minPath: a.min >= b.min ? a.minPath : b.minPath,
  };
}

/** The conjunction nothing satisfies. */
export const FORBIDDEN: Conjunction = [{ id: -1, schema: false, path: "" }];

export function intersectKeys(a: Dfa | undefined, b: Dfa | undefined): Dfa | undefined {
  return a === undefined ? b : b === undefined ? a : intersectDfa(a, b);
}
