import type { KeywordCase } from "./keyword-case.ts";

export const structureCases: readonly KeywordCase[] = [
  {
    name: "required and optional properties in any subset",
    schema: {
      type: "object",
      properties: {
        a: { type: "integer" },
        b: { type: "string" },
        c: { type: "null" },
        d: { type: "boolean" },
      },
      required: ["b"],
      additionalProperties: false,
    },
    valid: [{ b: "x" }, { a: 1, b: "" }, { a: 1, b: "", c: null, d: true }, { b: "", d: false }],
    invalid: [{}, { a: 1 }, { b: 1 }, { b: "", e: 1 }],
  },
  {
    name: "no property required",
    schema: { type: "object", properties: { a: {}, b: {} }, additionalProperties: false },
    valid: [{}, { a: 1 }, { b: 1 }, { a: 1, b: 2 }],
    invalid: [{ c: 1 }],
  },
  {
    name: "additionalProperties absent",
    schema: { type: "object", properties: { ab: { type: "integer" } } },
    valid: [
      { a: "x", abc: [], zz: 1 },
      { ab: 1, "": null, 'q"': 2 },
    ],
    invalid: [{ ab: "x" }],
  },
  {
    name: "additionalProperties as a schema",
    schema: {
      type: "object",
      properties: { a: { type: "string" } },
      additionalProperties: { type: "integer" },
    },
    valid: [
      { a: "x", b: 1 },
      { b: 1, c: 2 },
    ],
    invalid: [{ a: 1 }, { b: "x" }],
  },
  {
    name: "a key required but not declared",
    schema: { type: "object", required: ["a"], additionalProperties: { type: "integer" } },
    valid: [{ a: 1 }, { a: 1, b: 2 }],
    invalid: [{}, { b: 1 }, { a: "x" }],
  },
  {
    name: "a property that is false",
    schema: { type: "object", properties: { a: false } },
    valid: [{}, { b: 1 }],
    invalid: [{ a: 1 }],
  },
  {
    name: "patternProperties",
    schema: {
      type: "object",
      properties: { x1: { minimum: 5 } },
      patternProperties: { "^x\\d": { type: "integer" }, "9$": { type: ["integer", "null"] } },
      additionalProperties: false,
    },
    valid: [{ x1: 7 }, { x2: 1, x29: 3 }, { y9: null }],
    invalid: [{ x1: 3 }, { x1: "a" }, { x29: null }, { z: 1 }],
  },
  {
    name: "propertyNames",
    schema: { type: "object", propertyNames: { pattern: "^[a-z]+$", maxLength: 3 } },
    valid: [{ a: 1, abc: 2 }, {}],
    invalid: [{ A: 1 }, { abcd: 1 }],
  },
  {
    name: "minProperties and maxProperties",
    schema: {
      type: "object",
      properties: { a: {}, b: {}, c: {} },
      minProperties: 1,
      maxProperties: 2,
      additionalProperties: false,
    },
    valid: [{ a: 1 }, { b: 1, c: 2 }],
    invalid: [{}, { a: 1, b: 1, c: 1 }],
  },
  {
    name: "maxProperties of a map",
    schema: { type: "object", maxProperties: 2 },
    valid: [{}, { a: 1, b: 1 }],
    invalid: [{ a: 1, b: 1, c: 1 }],
  },
  {
    name: "dependentRequired",
    schema: { type: "object", properties: { a: {}, b: {} }, dependentRequired: { a: ["b"] } },
    valid: [{}, { b: 1 }, { a: 1, b: 1 }],
    invalid: [{ a: 1 }],
  },
  {
    name: "dependentSchemas",
    schema: {
      type: "object",
      properties: { a: {}, b: {} },
      dependentSchemas: { a: { properties: { b: { type: "integer" } }, required: ["b"] } },
    },
    valid: [{ b: "x" }, { a: 1, b: 2 }],
    invalid: [{ a: 1 }, { a: 1, b: "x" }],
  },
  {
    name: "dependencies of draft 7",
    schema: { type: "object", properties: { a: {} }, dependencies: { a: { maxProperties: 1 } } },
    valid: [{ a: 1 }, { b: 1, c: 1 }],
    invalid: [{ a: 1, b: 1 }],
  },
  {
    name: "items",
    schema: { type: "array", items: { type: "integer" } },
    valid: [[], [1], [1, 2, 3]],
    invalid: [["a"], [1, null], {}],
  },
  {
    name: "minItems and maxItems",
    schema: { type: "array", items: { const: 1 }, minItems: 2, maxItems: 3 },
    valid: [
      [1, 1],
      [1, 1, 1],
    ],
    invalid: [[], [1], [1, 1, 1, 1]],
  },
  {
    name: "prefixItems",
    schema: {
      type: "array",
      prefixItems: [{ type: "string" }, { type: "integer" }],
      items: { type: "null" },
      minItems: 1,
    },
    valid: [["a"], ["a", 1], ["a", 1, null, null]],
    invalid: [[], [1], ["a", "b"], ["a", 1, 2]],
  },
  {
    name: "items as a list, closed",
    schema: { items: [{ type: "string" }, { type: "integer" }], additionalItems: false },
    valid: [[], ["a"], ["a", 1], 3],
    invalid: [["a", 1, 2], [1]],
  },
  {
    name: "contains",
    schema: { type: "array", items: { type: ["integer", "string"] }, contains: { const: "x" } },
    valid: [["x"], [1, "x", 2]],
    invalid: [[], [1, 2], [null, "x"]],
  },
  {
    name: "uniqueItems of listed values",
    schema: {
      type: "array",
      items: { enum: ["a", "b", 1, null] },
      uniqueItems: true,
      minItems: 1,
      maxItems: 3,
    },
    valid: [["a"], ["b", "a"], [1, null, "a"]],
    invalid: [[], ["a", "a"], ["a", 1, "a"], ["a", "b", 1, null], ["c"]],
  },
  {
    name: "uniqueItems of at most one",
    schema: { type: "array", uniqueItems: true, maxItems: 1 },
    valid: [[], [1]],
    invalid: [[1, 2]],
  },
];
