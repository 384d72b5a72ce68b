import { FORBIDDEN, intersectShapes } from "./intersection.ts";
import { otherNumbers } from "./numbers.ts";
import { Refusal } from "./refusal.ts";
import { type Conjunction, conjunctionKey } from "./schema-node.ts";
import {
  ANY_ARRAY,
  ANY_OBJECT,
  type ArrayShape,
  EVERYTHING,
  MOST_SHAPES,
  type ObjectShape,
  type Shape,
  simplified,
} from "./shape.ts";
import { otherStrings } from "./strings.ts";

/** Makes the conjunction that holds where `all` does not. */
export type Negate = (all: Conjunction) => Conjunction;

/**
 * What has none of the shapes, exactly. Throws `Refusal` for the one kind that no union of shapes says: that some
 * item or some undeclared key breaks a rule. Throws `TooLarge`.
 */
export function otherShapes(shapes: readonly Shape[], negate: Negate, path: string): Shape[] {
  return EVERYTHING.flatMap((full) => {
    let left: Shape[] = [full];
    for (const shape of shapes.filter((each) => each.type === full.type)) {
      const others = othersOf(shape, negate, path);
      left = simplified(
        left.flatMap((kept) => others.flatMap((other) => intersectShapes(kept, other) ?? [])),
      );
      if (left.length > MOST_SHAPES)
        throw new Refusal("not", path, `turns into more than ${MOST_SHAPES} alternatives`);
    }
    return left;
  });
}

/** What has the shape's type and not the shape. Throws as `otherShapes`. */
export function othersOf(shape: Shape, negate: Negate, path: string): Shape[] {
  switch (shape.type) {
    case "null":
      return [];
    case "boolean":
      return [{ type: "boolean", values: [true, false].filter((value) => !shape.values.includes(value)) }];
    case "number":
      return [{ type: "number", ...otherNumbers(shape) }];
    case "string":
      return [{ type: "string", ...otherStrings(shape) }];
    case "array":
      return otherArrays(shape, negate, path);
    case "object":
      return otherObjects(shape, negate, path);
    default:
      return shape satisfies never;
  }
}

function otherArrays(shape: ArrayShape, negate: Negate, path: string): Shape[] {
  const max =
    shape.rest === undefined ? Math.min(shape.max ?? shape.prefix.length, shape.prefix.length) : shape.max;
  if (shape.unique !== undefined || shape.contained.length > 0 || (shape.rest ?? []).length > 0) {
    throw new Refusal("not", path, "its arrays can fail by one item, which a grammar can't count");
  }
  const out: Shape[] = [];
  if (shape.min > 0) out.push({ ...ANY_ARRAY, max: shape.min - 1 });
  if (max !== undefined) out.push({ ...ANY_ARRAY, min: max + 1 });
  for (const [place, item] of shape.prefix.entries()) {
    if (item.length === 0) continue;
    const before = shape.prefix.slice(0, place).map((): Conjunction => []);
    out.push({ ...ANY_ARRAY, min: place + 1, prefix: [...before, negate(item)] });
  }
  return out;
}

function otherObjects(shape: ObjectShape, negate: Negate, path: string): Shape[] {
  const [only] = shape.extras;
  const isOpen = shape.extras.length === 1 && only?.keys === undefined && only?.value.length === 0;
  if (!isOpen) {
    throw new Refusal(
      "not",
      path,
      "its objects can fail by one undeclared key, which a grammar can't look for",
    );
  }
  const out: Shape[] = [];
  for (const key of shape.required) out.push({ ...ANY_OBJECT, properties: new Map([[key, FORBIDDEN]]) });
  for (const [key, value] of shape.properties) {
    if (value.length === 0) continue;
    const broken = conjunctionKey(value) === conjunctionKey(FORBIDDEN) ? [] : negate(value);
    out.push({ ...ANY_OBJECT, properties: new Map([[key, broken]]), required: new Set([key]) });
  }
  if (shape.min > 0) out.push({ ...ANY_OBJECT, max: shape.min - 1 });
  if (shape.max !== undefined) out.push({ ...ANY_OBJECT, min: shape.max + 1, minPath: path });
  return out;
}
