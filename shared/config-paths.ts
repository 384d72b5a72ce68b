import { z } from "zod";
import { configSchema } from "./config-schema.ts";

/** Where a value is: keys of mappings and indexes of lists. */
export type Keys = readonly PropertyKey[];

/** What the schema allows at one place, in JSON Schema's words. */
export type SchemaNode = z.core.JSONSchema.BaseSchema;

/** The schema of what people write, as draft 7: the one that editors know best. */
export function inputSchema(): SchemaNode {
  schema ??= z.toJSONSchema(configSchema, { io: "input", target: "draft-7" });
  return schema;
}
let schema: SchemaNode | undefined;

/** `backends[0].url`. */
export function formatPath(keys: Keys): string {
  return keys.reduce<string>((path, key) => {
    if (typeof key === "number") return `${path}[${key}]`;
    return path === "" ? String(key) : `${path}.${String(key)}`;
  }, "");
}

/** The schema at `keys`, or undefined where the schema has no such place. */
export function schemaAt(keys: Keys, node: SchemaNode = inputSchema()): SchemaNode | undefined {
  const [key, ...rest] = keys;
  if (key === undefined) return node;
  for (const branch of node.anyOf ?? [node]) {
    const child =
      typeof key === "number"
        ? branch.items
        : (branch.properties?.[String(key)] ?? branch.additionalProperties);
    if (typeof child !== "object" || Array.isArray(child)) continue;
    const found = schemaAt(rest, child);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The value at `keys`, or undefined. */
export function valueAt(root: unknown, keys: Keys): unknown {
  return keys.reduce<unknown>(
    (value, key) => (typeof value === "object" && value !== null ? Reflect.get(value, key) : undefined),
    root,
  );
}

export function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** What a problem shows in the place of a secret. */
export const HIDDEN = "(hidden)";

/** True where a value may be a secret: problems say that it is wrong, and don't show it. */
export function isSecret(keys: Keys): boolean {
  const [section] = keys;
  // The URLs of databases and of webhooks hold passwords and tokens.
  const isUrl = (section === "ledger" || section === "webhooks") && keys.includes("url");
  const named = /^((api[-_]?)?key|token|secret|password|authorization|headers|redis)$/i;
  return isUrl || keys.some((key) => named.test(String(key)));
}

/** What is allowed at a place, to read on from "allowed: ". */
export function describeAllowed(node: SchemaNode): string {
  if (node.anyOf !== undefined) return node.anyOf.map(describeAllowed).join(" or ");
  if (node.const !== undefined) return JSON.stringify(node.const);
  if (node.enum !== undefined) return node.enum.map(String).join(", ");
  switch (node.type) {
    case "integer":
      return `a whole number from ${node.minimum} to ${node.maximum}`;
    case "number":
      return `a number from ${node.minimum} to ${node.maximum}`;
    case "boolean":
      return "true or false";
    case "string":
      return node.minLength === undefined ? "text" : "text that is not empty";
    case "array":
      return `a list of ${typeof node.items === "object" && !Array.isArray(node.items) ? describeAllowed(node.items) : "values"}`;
    default:
      return node.properties === undefined
        ? "a mapping"
        : `a mapping with ${Object.keys(node.properties).join(", ")}`;
  }
}
