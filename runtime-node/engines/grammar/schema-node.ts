import { pointer, Refusal } from "./refusal.ts";

export interface SchemaObject {
  readonly [keyword: string]: unknown;
}

/** One (sub)schema, known by its identity, so that recursion comes back to the same node. */
export interface SchemaNode {
  readonly id: number;
  readonly schema: SchemaObject | boolean;
  /** JSON pointer from the root. */
  readonly path: string;
}

/** Several schemas that all must hold; none: anything holds. */
export type Conjunction = readonly SchemaNode[];

export interface SchemaStore {
  readonly root: SchemaNode;
  /** The node of a subschema found at `path`; refuses what is neither an object nor a boolean. */
  node(schema: unknown, path: string): SchemaNode;
  /** What a `$ref` on this node points to; refuses what is outside this document. */
  resolve(from: SchemaNode, ref: string): SchemaNode;
}

export function isObject(value: unknown): value is SchemaObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** All that hold at once, each once, in a fixed order: its key names the rule. */
export function both(a: Conjunction, b: Conjunction): Conjunction {
  if (a.length === 0) return b;
  if (b.length === 0) return a;
  const byId = new Map([...a, ...b].map((node) => [node.id, node]));
  return [...byId.values()].sort((left, right) => left.id - right.id);
}

export function conjunctionKey(all: Conjunction): string {
  return all.map((node) => node.id).join("&");
}

/** A schema that says nothing is no part of a conjunction. */
export function conjunctionOf(node: SchemaNode): Conjunction {
  const isTrue = node.schema === true || (isObject(node.schema) && Object.keys(node.schema).length === 0);
  return isTrue ? [] : [node];
}

/** Keywords whose value is data, not schemas: an `$id` or `$ref` in there means nothing. */
const DATA_KEYWORDS = new Set(["const", "enum", "default", "examples", "example"]);

interface Indexed {
  readonly schema: SchemaObject | boolean;
  readonly path: string;
}

export function createSchemaStore(rootSchema: unknown): SchemaStore {
  const nodes = new Map<SchemaObject | boolean, SchemaNode>();
  const baseOf = new Map<SchemaObject, string>();
  const byUri = new Map<string, Indexed>();

  const index = (value: unknown, path: string, base: string): void => {
    if (Array.isArray(value)) {
      for (const [i, item] of value.entries()) index(item, pointer(path, i), base);
      return;
    }
    if (!isObject(value)) return;
    const id = value["$id"] ?? value["id"];
    const own = typeof id === "string" ? resolveUri(id, base) : base;
    baseOf.set(value, own.startsWith("#") ? base : withoutFragment(own));
    if (typeof id === "string" && !byUri.has(trimHash(own)))
      byUri.set(trimHash(own), { schema: value, path });
    const anchor = value["$anchor"];
    if (typeof anchor === "string") byUri.set(`${withoutFragment(own)}#${anchor}`, { schema: value, path });
    for (const [keyword, child] of Object.entries(value)) {
      if (!DATA_KEYWORDS.has(keyword)) index(child, pointer(path, keyword), withoutFragment(own));
    }
  };

  const node = (schema: unknown, path: string): SchemaNode => {
    if (!isObject(schema) && typeof schema !== "boolean") {
      throw new Refusal(lastStep(path), path, "a schema is an object or a boolean");
    }
    const known = nodes.get(schema);
    if (known !== undefined) return known;
    const made: SchemaNode = { id: nodes.size, schema, path };
    nodes.set(schema, made);
    return made;
  };

  const resolve = (from: SchemaNode, ref: string): SchemaNode => {
    const path = pointer(from.path, "$ref");
    const base = isObject(from.schema) ? (baseOf.get(from.schema) ?? "") : "";
    const target = resolveUri(ref, base);
    const exact = byUri.get(trimHash(target));
    if (exact !== undefined) return node(exact.schema, exact.path);
    const [resource = "", fragment = ""] = splitFragment(target);
    // Old drafts sprinkle `id` over properties and still point at the document's own definitions.
    const starts = [byUri.get(resource), ref.startsWith("#") ? { schema: rootSchema, path: "" } : undefined];
    for (const start of starts) {
      const found = start === undefined ? undefined : follow(start.schema, fragment);
      if (start !== undefined && found !== undefined) {
        return node(found, start.path + (fragment === "" ? "" : decodePointer(fragment)));
      }
    }
    const reason = ref.startsWith("#")
      ? `\`${ref}\` points to nothing in this schema`
      : `\`${ref}\` is outside this schema; inline it under \`$defs\``;
    throw new Refusal("$ref", path, reason);
  };

  index(rootSchema, "", "");
  return { root: node(rootSchema, ""), node, resolve };
}

function lastStep(path: string): string {
  return path.split("/").at(-1) || "schema";
}

function resolveUri(ref: string, base: string): string {
  if (URL.canParse(ref)) return new URL(ref).href;
  if (URL.canParse(ref, base)) return new URL(ref, base).href;
  return ref.startsWith("#") ? base + ref : ref;
}

function splitFragment(uri: string): readonly [string, string] {
  const at = uri.indexOf("#");
  return at < 0 ? [uri, ""] : [uri.slice(0, at), uri.slice(at + 1)];
}

function withoutFragment(uri: string): string {
  return splitFragment(uri)[0];
}

function trimHash(uri: string): string {
  return uri.endsWith("#") ? uri.slice(0, -1) : uri;
}

function decodePointer(fragment: string): string {
  try {
    return decodeURIComponent(fragment);
  } catch {
    return fragment; // a stray % is taken as it stands: the pointer then finds nothing or means just that
  }
}

/** Follows a JSON pointer (RFC 6901) through raw JSON. */
function follow(start: unknown, fragment: string): unknown {
  if (fragment === "") return start;
  const decoded = decodePointer(fragment);
  if (!decoded.startsWith("/")) return undefined;
  let at = start;
  for (const step of decoded.slice(1).split("/")) {
    const key = step.replaceAll("~1", "/").replaceAll("~0", "~");
    if (Array.isArray(at)) at = at[Number(key)];
    else if (isObject(at) && Object.hasOwn(at, key)) at = at[key];
    else return undefined;
  }
  return at;
}
