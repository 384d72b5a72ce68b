import type { KeywordCase } from "./keyword-case.ts";

const cat = {
  type: "object",
  properties: { kind: { const: "cat" }, lives: { type: "integer" } },
  required: ["kind"],
};
const dog = {
  type: "object",
  properties: { kind: { const: "dog" }, tricks: { type: "array" } },
  required: ["kind"],
};

export const combinationCases: readonly KeywordCase[] = [
  {
    name: "anyOf of types",
    schema: { anyOf: [{ type: "string", maxLength: 2 }, { type: "integer" }, { type: "null" }] },
    valid: ["ab", 3, null],
    invalid: ["abc", 1.5, true],
  },
  {
    name: "anyOf beside properties",
    schema: {
      type: "object",
      properties: { a: {}, b: {}, c: { type: "integer" } },
      anyOf: [{ required: ["a"] }, { required: ["b"] }],
      additionalProperties: false,
    },
    valid: [{ a: 1 }, { b: 1, c: 1 }, { a: 1, b: 1 }],
    invalid: [{}, { c: 1 }, { a: 1, c: "x" }],
  },
  {
    name: "anyOf of objects that share keys",
    schema: { anyOf: [cat, dog] },
    valid: [
      { kind: "cat", lives: 9 },
      { kind: "dog", tricks: [] },
      { kind: "dog", lives: "many" },
    ],
    invalid: [{ kind: "cat", lives: "many" }, { kind: "cow" }, {}],
  },
  {
    name: "oneOf told apart by a constant",
    schema: { oneOf: [cat, dog] },
    valid: [
      { kind: "cat", lives: 9 },
      { kind: "dog", tricks: [] },
    ],
    invalid: [
      { kind: "cat", lives: "many" },
      { kind: "dog", tricks: 1 },
    ],
  },
  {
    name: "oneOf that overlaps",
    schema: { type: "integer", oneOf: [{ minimum: 5 }, { maximum: 10 }] },
    valid: [4, 11, -100],
    invalid: [5, 7, 10],
  },
  {
    name: "oneOf by required keys",
    schema: { type: "object", oneOf: [{ required: ["a"] }, { required: ["b"] }] },
    valid: [{ a: 1 }, { b: 1, c: 1 }],
    invalid: [{}, { a: 1, b: 1 }],
  },
  {
    name: "allOf of objects",
    schema: {
      allOf: [
        { type: "object", properties: { a: { type: "integer" } }, required: ["a"] },
        { properties: { a: { minimum: 3 }, b: { type: "string" } }, required: ["b"] },
      ],
    },
    valid: [
      { a: 3, b: "x" },
      { a: 4, b: "", z: 1 },
    ],
    invalid: [{ a: 2, b: "x" }, { a: 3 }, { b: "x" }],
  },
  {
    name: "allOf of scalars",
    schema: {
      allOf: [{ type: "string", minLength: 2 }, { pattern: "^a" }, { enum: ["a", "ab", "bc", "abc"] }],
    },
    valid: ["ab", "abc"],
    invalid: ["a", "bc"],
  },
  {
    name: "not",
    schema: { type: "string", not: { enum: ["a", "b"] } },
    valid: ["", "c", "ab"],
    invalid: ["a", "b"],
  },
  {
    name: "not of a required key",
    schema: { type: "object", not: { required: ["a"] } },
    valid: [{}, { b: 1 }],
    invalid: [{ a: 1 }],
  },
  {
    name: "if, then and else",
    schema: {
      type: "object",
      properties: { kind: { enum: ["a", "b"] }, n: {} },
      required: ["kind"],
      if: { properties: { kind: { const: "a" } } },
      // biome-ignore lint/suspicious/noThenProperty: the keyword's name
      then: { required: ["n"] },
      else: { properties: { n: { type: "string" } } },
    },
    valid: [{ kind: "a", n: 1 }, { kind: "b" }, { kind: "b", n: "x" }],
    invalid: [{ kind: "a" }, { kind: "b", n: 1 }],
  },
  {
    name: "$ref with a sibling",
    schema: { $ref: "#/$defs/short", minLength: 1, $defs: { short: { type: "string", maxLength: 2 } } },
    valid: ["a", "ab"],
    invalid: ["", "abc"],
  },
  {
    name: "$ref by anchor and by $id",
    schema: {
      $id: "https://x.test/root",
      properties: { a: { $ref: "#there" }, b: { $ref: "other" } },
      $defs: { t: { $anchor: "there", type: "integer" }, o: { $id: "https://x.test/other", type: "null" } },
    },
    valid: [{ a: 1, b: null }],
    invalid: [{ a: "x" }, { b: 1 }],
  },
  {
    name: "$ref through escapes",
    schema: { $ref: "#/$defs/a~1b%20c", $defs: { "a/b c": { type: "null" } } },
    valid: [null],
    invalid: [1],
  },
  {
    name: "recursion",
    schema: {
      $ref: "#/$defs/node",
      $defs: {
        node: {
          type: "object",
          properties: {
            v: { type: "integer" },
            next: { $ref: "#/$defs/node" },
            all: { type: "array", items: { $ref: "#/$defs/node" } },
          },
          required: ["v"],
          additionalProperties: false,
        },
      },
    },
    valid: [{ v: 1 }, { v: 1, next: { v: 2, all: [{ v: 3 }, { v: 4 }] } }],
    invalid: [{ v: 1, next: { v: "x" } }, { next: { v: 1 } }, { v: 1, all: [1] }],
  },
  {
    name: "recursion at the root",
    schema: { type: "array", items: { $ref: "#" } },
    valid: [[], [[], [[]]]],
    invalid: [[1]],
  },
  {
    name: "unevaluatedProperties alone",
    schema: { type: "object", properties: { a: {} }, unevaluatedProperties: false },
    valid: [{}, { a: 1 }],
    invalid: [{ b: 1 }],
  },
];
