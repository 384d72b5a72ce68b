import { type Keywords, read, readCount } from "./keyword-reader.ts";
import { pointer, Refusal } from "./refusal.ts";
import { conjunctionOf } from "./schema-node.ts";
import { ANY_ARRAY, type ArrayShape } from "./shape.ts";

/** `items` as an array with `additionalItems` is how drafts up to 2019-09 wrote `prefixItems` with `items`. */
export function ownArray(from: Keywords): ArrayShape {
  const { schema, path, store } = from;
  const node = (...steps: readonly (string | number)[]) => {
    const [keyword = "", place] = steps;
    const value = schema[keyword];
    return conjunctionOf(
      store.node(Array.isArray(value) ? value[Number(place)] : value, pointer(path, ...steps)),
    );
  };
  const isTuple = Array.isArray(schema["items"]);
  const tuple = isTuple ? "items" : "prefixItems";
  const after = isTuple ? "additionalItems" : "items";
  const places = read(from, tuple, Array.isArray, "an array") ?? [];
  const rest = Object.hasOwn(schema, after) ? node(after) : [];
  const contained = Object.hasOwn(schema, "contains")
    ? [{ path: pointer(path, "contains"), item: node("contains") }]
    : [];
  for (const keyword of ["minContains", "maxContains"]) {
    if (contained.length > 0 && Object.hasOwn(schema, keyword) && schema[keyword] !== 1) {
      throw new Refusal(keyword, pointer(path, keyword), "a grammar can't count the items that match");
    }
  }
  if (contained.length > 0 && Object.hasOwn(schema, "maxContains")) {
    throw new Refusal(
      "maxContains",
      pointer(path, "maxContains"),
      "a grammar can't count the items that match",
    );
  }
  return {
    ...ANY_ARRAY,
    prefix: places.map((_, place) => node(tuple, place)),
    rest: rest.some((item) => item.schema === false) ? undefined : rest,
    min: readCount(from, "minItems") ?? 0,
    max: readCount(from, "maxItems"),
    unique: schema["uniqueItems"] === true ? pointer(path, "uniqueItems") : undefined,
    contained,
  };
}
