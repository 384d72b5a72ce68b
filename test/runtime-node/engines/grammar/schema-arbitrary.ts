import fc from "fast-check";

/** Keys that share beginnings, need escapes or look like others, so that the key rules are worked. */
const KEYS = ["a", "ab", "abc", "b", 'q"t', "x1", "né"] as const;
const PATTERNS = [
  "^[a-c]+$",
  "x",
  "^(foo|ba[rz])$",
  "^\\d{2,4}(-\\d+)?$",
  "^.{1,3}$",
  '^[^"\\\\]*$',
  "^(?!x)[a-z]*$",
];
const FORMATS = ["date", "time", "date-time", "uuid"] as const;
const SCALARS = [null, true, false, 0, 1, -2, 2.5, "", "a", "ab", "foo", 'q"t'] as const;

type Schema = boolean | { [keyword: string]: unknown };

const keys = fc.constantFrom(...KEYS);
const small = fc.integer({ min: 0, max: 3 });

const strings = fc
  .record(
    {
      minLength: small,
      maxLength: fc.integer({ min: 1, max: 5 }),
      pattern: fc.constantFrom(...PATTERNS),
      format: fc.constantFrom(...FORMATS),
    },
    { requiredKeys: [] },
  )
  .map((schema) => ({ type: "string", ...schema }));

const numbers = fc
  .tuple(
    fc.constantFrom("integer", "number"),
    fc.record(
      {
        minimum: fc.constantFrom(-20, -3, 0, 0.5, 1, 7),
        maximum: fc.constantFrom(-1, 0, 1.25, 9, 10, 123),
        exclusiveMinimum: fc.constantFrom(-5, 0, 2.5),
        exclusiveMaximum: fc.constantFrom(0, 10, 99.5),
        multipleOf: fc.constantFrom(1, 2, 0.5, 3),
      },
      { requiredKeys: [] },
    ),
  )
  .map(([type, schema]) => ({ type, ...schema }));

const listed = fc.uniqueArray(fc.constantFrom(...SCALARS), { minLength: 1, maxLength: 4 });
const leaves: fc.Arbitrary<Schema> = fc.oneof(
  strings,
  numbers,
  listed.map((values) => ({ enum: values })),
  fc.constantFrom(...SCALARS).map((value) => ({ const: value })),
  fc.constantFrom<Schema>({ type: "boolean" }, { type: ["string", "null"] }, { type: "null" }, true, {}),
  fc.constant({ $ref: "#/$defs/tree" }),
  listed.map((values) => ({ type: "array", items: { enum: values }, uniqueItems: true, maxItems: 3 })),
  fc.constant({ const: { a: [1, "x"], b: null } }),
);

const { schema } = fc.letrec<{ schema: Schema; object: Schema; array: Schema; combined: Schema }>((tie) => ({
  schema: fc.oneof(
    { maxDepth: 3, depthIdentifier: "schema" },
    leaves,
    tie("object"),
    tie("array"),
    tie("combined"),
  ),
  object: fc
    .record(
      {
        properties: fc.dictionary(keys, tie("schema"), { maxKeys: 4 }),
        required: fc.uniqueArray(keys, { maxLength: 2 }),
        additionalProperties: fc.oneof(fc.boolean(), tie("schema")),
        patternProperties: fc.dictionary(fc.constantFrom("^a", "b$", "^x\\d$"), tie("schema"), {
          maxKeys: 2,
        }),
        propertyNames: fc.constantFrom({ pattern: "^[ab]" }, { maxLength: 3 }, { enum: ["a", "b", "x1"] }),
        minProperties: fc.constantFrom(0, 0, 1, 2),
        maxProperties: small,
        dependentRequired: fc.dictionary(keys, fc.uniqueArray(keys, { maxLength: 2 }), { maxKeys: 1 }),
      },
      { requiredKeys: ["properties"] },
    )
    .map((keywords) => ({ type: "object", ...keywords })),
  // `minItems` beside `contains`: without it ajv 8.20 lets an empty array through after one that matched.
  array: fc
    .record(
      {
        items: tie("schema"),
        prefixItems: fc.array(tie("schema"), { minLength: 1, maxLength: 2 }),
        minItems: small,
        maxItems: fc.integer({ min: 0, max: 4 }),
        contains: fc.constantFrom(undefined, undefined, undefined, { type: "integer" }, { const: "a" }),
      },
      { requiredKeys: [] },
    )
    .map(({ contains, ...keywords }) => ({
      type: "array",
      ...(contains === undefined ? keywords : { contains, minItems: 1 }),
    })),
  combined: fc.oneof(
    fc.array(tie("schema"), { minLength: 1, maxLength: 3 }).map((anyOf) => ({ anyOf })),
    fc.array(tie("schema"), { minLength: 1, maxLength: 3 }).map((oneOf) => ({ oneOf })),
    fc.array(tie("object"), { minLength: 2, maxLength: 2 }).map((allOf) => ({ allOf })),
    fc.array(tie("schema"), { minLength: 2, maxLength: 2 }).map((allOf) => ({ allOf })),
    tie("schema").map((not) => ({ not })),
    // biome-ignore lint/suspicious/noThenProperty: the keyword's name
    fc.record({ if: tie("schema"), then: tie("schema"), else: tie("schema") }, { requiredKeys: ["if"] }),
    fc.tuple(tie("object"), fc.array(tie("object"), { minLength: 1, maxLength: 2 })).map(([base, anyOf]) => ({
      ...(typeof base === "object" ? base : {}),
      anyOf,
    })),
  ),
}));

/** Random schemas over what the converter takes, with a recursive definition to refer to. */
export const schemas: fc.Arbitrary<{ [keyword: string]: unknown }> = schema.map((body) => ({
  allOf: [body],
  $defs: {
    tree: {
      type: "object",
      properties: {
        v: { type: "integer" },
        next: { $ref: "#/$defs/tree" },
        all: { type: "array", items: { $ref: "#/$defs/tree" } },
      },
      required: ["v"],
      additionalProperties: false,
    },
  },
}));
