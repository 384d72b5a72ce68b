import { ANY_TEXT, acceptsText, type Dfa, intersectDfa, isEmpty, subtractDfa } from "./automaton.ts";
import { FORBIDDEN } from "./intersection.ts";
import { type Keywords, read, readCount, within } from "./keyword-reader.ts";
import { patternLanguage } from "./pattern.ts";
import { pointer, Refusal } from "./refusal.ts";
import { both, type Conjunction, conjunctionOf, isObject } from "./schema-node.ts";
import { ANY_OBJECT, type KeyClass, type ObjectShape } from "./shape.ts";

/** So many patterns make at most 2^n classes of keys. */
const MOST_PATTERNS = 6;

function isStringList(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}

/**
 * `properties`, then what is required without being declared, then the classes of other keys: by the patterns they
 * match, and the rest under `additionalProperties`. `propertyNames` is applied by the caller: it needs shapes.
 */
export function ownObject(from: Keywords): ObjectShape {
  const { schema, path, store } = from;
  const declared = read(from, "properties", isObject, "an object") ?? {};
  const patterns = Object.entries(read(from, "patternProperties", isObject, "an object") ?? {}).map(
    ([pattern, value]) => ({
      keys: within(from, "patternProperties", () => patternLanguage(pattern)),
      value: conjunctionOf(store.node(value, pointer(path, "patternProperties", pattern))),
    }),
  );
  if (patterns.length > MOST_PATTERNS) {
    throw new Refusal(
      "patternProperties",
      pointer(path, "patternProperties"),
      `more than ${MOST_PATTERNS} patterns`,
    );
  }
  const extras = within(from, "patternProperties", () => keyClasses(patterns, additional(from)));
  const under = (key: string): Conjunction =>
    patterns
      .filter((each) => acceptsText(each.keys, key))
      .reduce((all: Conjunction, each) => both(all, each.value), []);

  const properties = new Map<string, Conjunction>();
  for (const [key, value] of Object.entries(declared)) {
    const own = conjunctionOf(store.node(value, pointer(path, "properties", key)));
    properties.set(key, both(own, under(key)));
  }
  // Draft 3 wrote `required: true` into the property; later drafts don't know that form, so it says nothing.
  const required =
    typeof schema["required"] === "boolean"
      ? []
      : (read(from, "required", isStringList, "a list of strings") ?? []);
  for (const key of required) {
    if (properties.has(key)) continue;
    const other = extras.find(({ keys }) => keys === undefined || acceptsText(keys, key));
    properties.set(key, other?.value ?? FORBIDDEN);
  }
  const min = readCount(from, "minProperties") ?? 0;
  return {
    ...ANY_OBJECT,
    properties,
    required: new Set(required),
    extras,
    min,
    max: readCount(from, "maxProperties"),
    minPath: min > 0 ? pointer(path, "minProperties") : undefined,
  };
}

function additional({ schema, path, store }: Keywords): Conjunction | undefined {
  const keyword = ["additionalProperties", "unevaluatedProperties"].find((each) =>
    Object.hasOwn(schema, each),
  );
  if (keyword === undefined) return [];
  const node = store.node(schema[keyword], pointer(path, keyword));
  return node.schema === false ? undefined : conjunctionOf(node);
}

/** Each set of patterns with the keys that match these and no other. */
function keyClasses(patterns: readonly KeyClass[], rest: Conjunction | undefined): KeyClass[] {
  if (patterns.length === 0) return rest === undefined ? [] : [{ keys: undefined, value: rest }];
  let classes: { keys: Dfa; value: Conjunction; matched: boolean }[] = [
    { keys: ANY_TEXT, value: [], matched: false },
  ];
  for (const { keys = ANY_TEXT, value } of patterns) {
    classes = classes
      .flatMap((each) => [
        { keys: intersectDfa(each.keys, keys), value: both(each.value, value), matched: true },
        { ...each, keys: subtractDfa(each.keys, keys) },
      ])
      .filter((each) => !isEmpty(each.keys));
  }
  return classes.flatMap((each) => {
    if (each.matched) return [{ keys: each.keys, value: each.value }];
    return rest === undefined ? [] : [{ keys: each.keys, value: rest }];
  });
}
