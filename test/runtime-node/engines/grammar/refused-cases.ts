export interface RefusedCase {
  readonly name: string;
  readonly schema: unknown;
  readonly keyword: string;
  readonly path: string;
}

const within = (property: unknown): unknown => ({ type: "object", properties: { a: property } });

export const refusedCases: readonly RefusedCase[] = [
  { name: "no schema", schema: "sound", keyword: "schema", path: "" },
  { name: "no schema inside", schema: within(3), keyword: "a", path: "/properties/a" },
  { name: "false", schema: false, keyword: "schema", path: "" },
  { name: "an unknown type", schema: within({ type: "float" }), keyword: "type", path: "/properties/a/type" },
  {
    name: "properties that are no object",
    schema: { properties: [] },
    keyword: "properties",
    path: "/properties",
  },
  {
    name: "an enum that is no list",
    schema: within({ enum: "a" }),
    keyword: "enum",
    path: "/properties/a/enum",
  },
  {
    name: "a remote $ref",
    schema: within({ $ref: "https://x.test/s.json#/a" }),
    keyword: "$ref",
    path: "/properties/a/$ref",
  },
  { name: "a $ref to nothing", schema: { $ref: "#/$defs/x" }, keyword: "$ref", path: "/$ref" },
  { name: "a $ref to itself", schema: { $ref: "#" }, keyword: "$ref", path: "/$ref" },
  {
    name: "a lookbehind",
    schema: within({ type: "string", pattern: "(?<=a)b" }),
    keyword: "pattern",
    path: "/properties/a/pattern",
  },
  {
    name: "a back-reference",
    schema: within({ type: "string", pattern: "(a)\\1" }),
    keyword: "pattern",
    path: "/properties/a/pattern",
  },
  {
    name: "a word boundary",
    schema: within({ type: "string", pattern: "\\bfoo" }),
    keyword: "pattern",
    path: "/properties/a/pattern",
  },
  {
    name: "a lookahead in the middle",
    schema: within({ type: "string", pattern: "a(?=b)" }),
    keyword: "pattern",
    path: "/properties/a/pattern",
  },
  {
    name: "no pattern at all",
    schema: within({ type: "string", pattern: "(" }),
    keyword: "pattern",
    path: "/properties/a/pattern",
  },
  {
    name: "a pattern of too many states",
    schema: within({ type: "string", pattern: "a.{16}$" }),
    keyword: "pattern",
    path: "/properties/a/pattern",
  },
  {
    name: "unique items",
    schema: within({ type: "array", uniqueItems: true }),
    keyword: "uniqueItems",
    path: "/properties/a/uniqueItems",
  },
  {
    name: "contains beside a length",
    schema: within({ type: "array", contains: { const: 1 }, maxItems: 3 }),
    keyword: "contains",
    path: "/properties/a/contains",
  },
  {
    name: "minContains",
    schema: within({ type: "array", contains: { const: 1 }, minContains: 2 }),
    keyword: "minContains",
    path: "/properties/a/minContains",
  },
  {
    name: "maxContains",
    schema: within({ type: "array", contains: { const: 1 }, maxContains: 2 }),
    keyword: "maxContains",
    path: "/properties/a/maxContains",
  },
  {
    name: "minProperties of undeclared keys",
    schema: within({ type: "object", minProperties: 2 }),
    keyword: "minProperties",
    path: "/properties/a/minProperties",
  },
  {
    name: "unevaluatedProperties beside allOf",
    schema: { allOf: [{ properties: { a: {} } }], unevaluatedProperties: false },
    keyword: "unevaluatedProperties",
    path: "/unevaluatedProperties",
  },
  {
    name: "unevaluatedItems",
    schema: { type: "array", unevaluatedItems: false },
    keyword: "unevaluatedItems",
    path: "/unevaluatedItems",
  },
  { name: "$dynamicRef", schema: { $dynamicRef: "#node" }, keyword: "$dynamicRef", path: "/$dynamicRef" },
  {
    name: "oneOf of objects that can't be told apart",
    schema: {
      oneOf: [
        { type: "object", properties: { a: { type: "string" } }, additionalProperties: false },
        { type: "object", properties: { b: { type: "string" } }, additionalProperties: false },
      ],
    },
    keyword: "oneOf",
    path: "/oneOf",
  },
  {
    name: "not of a closed object",
    schema: { not: { type: "object", properties: { a: {} }, additionalProperties: false } },
    keyword: "not",
    path: "/not",
  },
  {
    name: "a multipleOf too fine",
    schema: { type: "number", multipleOf: 0.123456789 },
    keyword: "multipleOf",
    path: "/multipleOf",
  },
  {
    name: "a required property that is false",
    schema: { type: "object", properties: { a: false }, required: ["a"] },
    keyword: "schema",
    path: "",
  },
  {
    name: "a required property that recurses for ever",
    schema: { type: "object", properties: { a: { $ref: "#" } }, required: ["a"] },
    keyword: "schema",
    path: "",
  },
  {
    name: "bounds that leave nothing",
    schema: { type: "integer", minimum: 3, maximum: 2 },
    keyword: "schema",
    path: "",
  },
];
