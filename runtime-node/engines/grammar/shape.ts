/**
 * What a schema allows, as a union of shapes of one JSON type each: the form in which `allOf` is an intersection,
 * `anyOf` a concatenation and `not` a complement.
 */
import { type Dfa, isEmpty } from "./automaton.ts";
import { ANY_NUMBER, isNoNumber, type NumberSet } from "./numbers.ts";
import { type Conjunction, conjunctionKey } from "./schema-node.ts";
import { ANY_STRING, isAnyString, isNoString, type StringSet } from "./strings.ts";

export interface NumberShape extends NumberSet {
  readonly type: "number";
}

export interface StringShape extends StringSet {
  readonly type: "string";
}

export interface ArrayShape {
  readonly type: "array";
  readonly prefix: readonly Conjunction[];
  /** The items after the prefix; undefined: there are none. */
  readonly rest: Conjunction | undefined;
  readonly min: number;
  readonly max: number | undefined;
  /** Paths of a `uniqueItems: true` and a `contains`, which not every array can keep. */
  readonly unique: string | undefined;
  readonly contained: readonly { readonly path: string; readonly item: Conjunction }[];
}

/** Keys that are not declared, and what their values are; the classes of an object are disjoint. */
export interface KeyClass {
  /** Undefined: every key. */
  readonly keys: Dfa | undefined;
  readonly value: Conjunction;
}

export interface ObjectShape {
  readonly type: "object";
  /** In the order in which they are written. */
  readonly properties: ReadonlyMap<string, Conjunction>;
  readonly required: ReadonlySet<string>;
  /** Undeclared keys in none of these classes are not allowed. */
  readonly extras: readonly KeyClass[];
  readonly min: number;
  readonly max: number | undefined;
  /** Where `minProperties` came from. */
  readonly minPath: string | undefined;
}

export type Shape =
  | { readonly type: "null" }
  | { readonly type: "boolean"; readonly values: readonly boolean[] }
  | NumberShape
  | StringShape
  | ArrayShape
  | ObjectShape;

export type ShapeType = Shape["type"];

/** More would make a grammar that no longer runs at the speed of the model. */
export const MOST_SHAPES = 400;

export const ANY_ARRAY: ArrayShape = {
  type: "array",
  prefix: [],
  rest: [],
  min: 0,
  max: undefined,
  unique: undefined,
  contained: [],
};

export const ANY_OBJECT: ObjectShape = {
  type: "object",
  properties: new Map(),
  required: new Set(),
  extras: [{ keys: undefined, value: [] }],
  min: 0,
  max: undefined,
  minPath: undefined,
};

export const EVERYTHING: readonly Shape[] = [
  ANY_OBJECT,
  ANY_ARRAY,
  { type: "string", ...ANY_STRING },
  { type: "number", ...ANY_NUMBER },
  { type: "boolean", values: [true, false] },
  { type: "null" },
];

/** No value has this shape, as far as the shape itself tells. */
export function isVoid(shape: Shape): boolean {
  switch (shape.type) {
    case "null":
      return false;
    case "boolean":
      return shape.values.length === 0;
    case "number":
      return isNoNumber(shape);
    case "string":
      return isNoString(shape);
    case "array":
      return shape.max !== undefined && shape.max < shape.min;
    case "object":
      return shape.max !== undefined && shape.max < Math.max(shape.min, shape.required.size);
    default:
      return shape satisfies never;
  }
}

const DFA_IDS = new WeakMap<Dfa, number>();
let lastDfaId = 0;

function dfaKey(dfa: Dfa | undefined): string {
  if (dfa === undefined) return "*";
  if (isEmpty(dfa)) return "0";
  const known = DFA_IDS.get(dfa);
  if (known !== undefined) return String(known);
  DFA_IDS.set(dfa, ++lastDfaId);
  return String(lastDfaId);
}

/** Equal keys, equal shapes. */
export function shapeKey(shape: Shape): string {
  switch (shape.type) {
    case "null":
      return "null";
    case "boolean":
      return `boolean ${[...shape.values].sort().join()}`;
    case "number":
      return `number ${shape.isInteger} ${shape.rounding} ${shape.values?.join() ?? "*"} ${dfaKey(shape.dfa)}`;
    case "string":
      return `string ${shape.min} ${shape.max} ${dfaKey(shape.dfa)}`;
    case "array":
      return JSON.stringify([
        "array",
        shape.prefix.map(conjunctionKey),
        shape.rest === undefined ? "-" : conjunctionKey(shape.rest),
        [shape.min, shape.max, shape.unique !== undefined],
        shape.contained.map(({ item }) => conjunctionKey(item)),
      ]);
    case "object":
      return JSON.stringify([
        "object",
        [...shape.properties].map(([key, value]) => [key, conjunctionKey(value)]),
        [...shape.required].sort(),
        shape.extras.map(({ keys, value }) => [dfaKey(keys), conjunctionKey(value)]),
        [shape.min, shape.max],
      ]);
    default:
      return shape satisfies never;
  }
}

const FULL_KEYS = new Set(EVERYTHING.map(shapeKey));

/** Every value of its type. */
export function isFull(shape: Shape): boolean {
  return shape.type === "string" ? isAnyString(shape) : FULL_KEYS.has(shapeKey(shape));
}

/** Without doubles, void ones, and what a full shape of the same type covers. */
export function simplified(shapes: readonly Shape[]): Shape[] {
  const full = new Set(shapes.filter(isFull).map((shape) => shape.type));
  const byKey = new Map<string, Shape>();
  for (const shape of shapes) {
    if (!isVoid(shape) && (!full.has(shape.type) || isFull(shape))) byKey.set(shapeKey(shape), shape);
  }
  return [...byKey.values()];
}
