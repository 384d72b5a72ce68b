/** From schemas to shapes: the keywords that combine schemas (`$ref`, `allOf`, `anyOf`, `oneOf`, `not`, `if` …). */
import { type Dfa, NO_TEXT, uniteDfa } from "./automaton.ts";
import { otherShapes, othersOf } from "./complement.ts";
import { FORBIDDEN, intersectKeys, intersectShapes } from "./intersection.ts";
import { type Keywords, within } from "./keyword-reader.ts";
import { ownShapes, shapesOfValues } from "./own-keywords.ts";
import { pointer, Refusal, TooLarge } from "./refusal.ts";
import {
  both,
  type Conjunction,
  conjunctionKey,
  conjunctionOf,
  isObject,
  type SchemaNode,
  type SchemaObject,
  type SchemaStore,
} from "./schema-node.ts";
import { EVERYTHING, isFull, MOST_SHAPES, type ObjectShape, type Shape, simplified } from "./shape.ts";
import { hasString, toDfa } from "./strings.ts";

export interface ShapeSource {
  /** All that satisfies every schema of the conjunction. Throws `Refusal`. */
  shapesOf(all: Conjunction): readonly Shape[];
}

/** How deep required properties are looked at to see that two objects can't be the same. */
const DISJOINT_DEPTH = 3;

const REFUSED: Readonly<Record<string, string>> = {
  $dynamicRef: "dynamic references are not supported; use `$ref`",
  $recursiveRef: "recursive references by anchor are not supported; use `$ref`",
  unevaluatedItems: "what other schemas leave over is not known while generating; use `items`",
};
const COMBINING = ["$ref", "allOf", "anyOf", "oneOf", "if", "dependentSchemas", "dependencies"];

export function createShapeSource(store: SchemaStore): ShapeSource {
  const known = new Map<string, readonly Shape[]>();
  const open = new Set<string>();

  const shapesOf = (all: Conjunction): readonly Shape[] => {
    const key = conjunctionKey(all);
    const memo = known.get(key);
    if (memo !== undefined) return memo;
    const [first] = all;
    if (first === undefined) return EVERYTHING;
    if (open.has(key)) {
      throw new Refusal(
        "$ref",
        pointer(first.path, "$ref"),
        "the schema refers to itself without a property or item between",
      );
    }
    open.add(key);
    let shapes: readonly Shape[] = all.length === 1 ? shapesOfNode(first) : EVERYTHING;
    if (all.length > 1) for (const node of all) shapes = cross(shapes, shapesOf([node]), "allOf", node.path);
    open.delete(key);
    known.set(key, shapes);
    return shapes;
  };

  const shapesOfNode = (node: SchemaNode): readonly Shape[] => {
    if (typeof node.schema === "boolean") return ownShapes(node, store);
    const from: Keywords = { schema: node.schema, path: node.path, store };
    refuseUnknowable(from);
    let shapes: readonly Shape[] = simplified(ownShapes(node, store));
    if (Object.hasOwn(node.schema, "propertyNames")) shapes = shapes.map((shape) => withNames(from, shape));
    for (const { keyword, path, allowed } of combined(from)) {
      shapes = cross(
        shapes,
        within(from, keyword, () => allowed(shapes)),
        keyword,
        path,
      );
    }
    return simplified(shapes);
  };

  const cross = (
    a: readonly Shape[],
    b: readonly Shape[],
    keyword: string,
    path: string,
  ): readonly Shape[] => {
    if (a.every(isFull) && a.length === EVERYTHING.length) return b;
    const out: Shape[] = [];
    for (const left of a) {
      for (const right of b) {
        const shape =
          left.type === right.type ? guarded(() => intersectShapes(left, right), keyword, path) : undefined;
        if (shape !== undefined) out.push(shape);
        if (out.length > MOST_SHAPES)
          throw new Refusal(keyword, path, `multiplies to more than ${MOST_SHAPES} alternatives`);
      }
    }
    return simplified(out);
  };

  const negations = new Map<string, Conjunction>();
  const negate = (all: Conjunction): Conjunction => {
    const key = conjunctionKey(all);
    let made = negations.get(key);
    if (made === undefined) {
      const schemas = all.map((node) => node.schema);
      made = conjunctionOf(store.node({ not: { allOf: schemas } }, all[0]?.path ?? ""));
      negations.set(key, made);
    }
    return made;
  };

  /** The keywords of a schema that combine others, each with the shapes it lets through, given those so far. */
  interface Combined {
    readonly keyword: string;
    readonly path: string;
    readonly allowed: (soFar: readonly Shape[]) => readonly Shape[];
  }

  function* combined(from: Keywords): Generator<Combined> {
    const { schema, path } = from;
    const sub = (value: unknown, ...steps: readonly (string | number)[]) =>
      store.node(value, pointer(path, ...steps));
    const list = (keyword: string): readonly SchemaNode[] => {
      const value = schema[keyword];
      if (!Array.isArray(value))
        throw new Refusal(keyword, pointer(path, keyword), "must be a list of schemas");
      return value.map((item, i) => sub(item, keyword, i));
    };
    const each = (keyword: string, allowed: Combined["allowed"]): Combined => ({
      keyword,
      path: pointer(path, keyword),
      allowed,
    });
    const any = (nodes: readonly SchemaNode[]) => nodes.flatMap((node) => shapesOf(conjunctionOf(node)));
    const self: SchemaNode = sub(schema);

    for (const keyword of ["const", "enum"]) {
      if (!Object.hasOwn(schema, keyword)) continue;
      const values = keyword === "const" ? [schema["const"]] : schema["enum"];
      if (!Array.isArray(values))
        throw new Refusal(keyword, pointer(path, keyword), "must be a list of values");
      yield each(keyword, () => shapesOfValues(values, path, store));
    }
    if (Object.hasOwn(schema, "$ref")) {
      const ref = schema["$ref"];
      if (typeof ref !== "string") throw new Refusal("$ref", pointer(path, "$ref"), "must be a string");
      yield each("$ref", () => any([store.resolve(self, ref)]));
    }
    if (Object.hasOwn(schema, "allOf")) {
      for (const node of list("allOf"))
        yield { keyword: "allOf", path: node.path, allowed: () => any([node]) };
    }
    if (Object.hasOwn(schema, "anyOf")) yield each("anyOf", () => any(list("anyOf")));
    if (Object.hasOwn(schema, "oneOf"))
      yield each("oneOf", (soFar) => exclusive(list("oneOf"), soFar, pointer(path, "oneOf")));
    if (Object.hasOwn(schema, "not")) {
      yield each("not", () => otherShapes(any([sub(schema["not"], "not")]), negate, pointer(path, "not")));
    }
    if (Object.hasOwn(schema, "if")) {
      const met = { allOf: [schema["if"], schema["then"] ?? true] };
      const unmet = { allOf: [{ not: schema["if"] }, schema["else"] ?? true] };
      yield each("if", () => any([sub(met, "if"), sub(unmet, "if")]));
    }
    for (const keyword of ["dependentRequired", "dependentSchemas", "dependencies"]) {
      const value = schema[keyword];
      if (!isObject(value)) continue;
      for (const [key, needs] of Object.entries(value)) {
        const absent = { properties: { [key]: false } };
        const present = Array.isArray(needs)
          ? { required: [key, ...needs] }
          : { required: [key], allOf: [needs] };
        const place = pointer(keyword, key);
        yield each(keyword, () => any([sub(absent, keyword, key), sub(present, keyword, key, place)]));
      }
    }
  }

  /** `oneOf`: where two branches could both hold, each leaves out what the other allows. */
  const exclusive = (
    branches: readonly SchemaNode[],
    soFar: readonly Shape[],
    path: string,
  ): readonly Shape[] => {
    const allowed = branches.map((node) => cross(soFar, shapesOf(conjunctionOf(node)), "oneOf", path));
    return allowed.flatMap((shapes, i) => {
      let left: readonly Shape[] = shapes;
      for (const [j, rivals] of allowed.entries()) {
        if (i === j) continue;
        for (const rival of rivals)
          left = left.flatMap((shape) => without(shape, rival, path, `${i} and ${j}`));
      }
      return left;
    });
  };

  const without = (shape: Shape, rival: Shape, path: string, pair: string): readonly Shape[] => {
    const shared = cross([shape], [rival], "oneOf", path);
    if (shared.every((each) => isImpossible(each, DISJOINT_DEPTH))) return [shape];
    try {
      return cross([shape], othersOf(rival, negate, path), "oneOf", path);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const advice = "can both hold and can't be told apart; use `anyOf`, or give each a `const` property";
      throw new Refusal("oneOf", path, `branches ${pair} ${advice}`);
    }
  };

  /** No value has this shape, looking into what it requires. */
  const isImpossible = (shape: Shape, depth: number): boolean => {
    if (depth === 0) return false;
    const none = (all: Conjunction): boolean =>
      shapesOf(all).every((inner) => isImpossible(inner, depth - 1));
    if (shape.type === "object") {
      return [...shape.required].some((key) => none(shape.properties.get(key) ?? FORBIDDEN));
    }
    if (shape.type !== "array") return false;
    const needed = Array.from(
      { length: Math.min(shape.min, shape.prefix.length + 1) },
      (_, i) => shape.prefix[i] ?? shape.rest,
    );
    return needed.some((item) => item === undefined || none(item));
  };

  const withNames = (from: Keywords, shape: Shape): Shape => {
    if (shape.type !== "object") return shape;
    return within(from, "propertyNames", () => {
      const node = store.node(from.schema["propertyNames"], pointer(from.path, "propertyNames"));
      const names = shapesOf(conjunctionOf(node)).flatMap((each) => (each.type === "string" ? [each] : []));
      const allowed: Dfa = names.map((set) => toDfa(set)).reduce(uniteDfa, NO_TEXT);
      const restricted: ObjectShape = {
        ...shape,
        properties: new Map(
          [...shape.properties].map(([key, value]) => [
            key,
            names.some((set) => hasString(set, key)) ? value : both(value, FORBIDDEN),
          ]),
        ),
        extras: shape.extras.map(({ keys, value }) => ({ keys: intersectKeys(keys, allowed), value })),
      };
      return restricted;
    });
  };

  return { shapesOf };
}

function refuseUnknowable({ schema, path }: Keywords): void {
  for (const [keyword, reason] of Object.entries(REFUSED)) {
    if (Object.hasOwn(schema, keyword) && schema[keyword] !== true)
      throw new Refusal(keyword, pointer(path, keyword), reason);
  }
  if (unevaluatedDepends(schema)) {
    throw new Refusal(
      "unevaluatedProperties",
      pointer(path, "unevaluatedProperties"),
      "what other schemas leave over is not known while generating; list the properties and use `additionalProperties`",
    );
  }
}

function unevaluatedDepends(schema: SchemaObject): boolean {
  const value = schema["unevaluatedProperties"];
  return value !== undefined && value !== true && COMBINING.some((keyword) => Object.hasOwn(schema, keyword));
}

function guarded<T>(work: () => T, keyword: string, path: string): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof TooLarge) throw new Refusal(keyword, path, error.message);
    throw error;
  }
}
