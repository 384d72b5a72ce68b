import { describe, expect, test } from "vitest";
import {
  compileJsonSchema,
  compileRules,
  jsonObjectGrammar,
} from "../../../../runtime-node/engines/grammar/json-schema.ts";
import { createRuleBook, seq, text } from "../../../../runtime-node/engines/grammar/rules.ts";
import { combinationCases } from "./combination-cases.ts";
import { acceptsDocument } from "./document-search.ts";
import { createMatcher, type Matcher } from "./gbnf-matcher.ts";
import { refusedCases } from "./refused-cases.ts";
import { scalarCases } from "./scalar-cases.ts";
import { structureCases } from "./structure-cases.ts";

function matcherOf(schema: unknown): Matcher {
  const compiled = compileJsonSchema(schema);
  if (!compiled.ok) throw new Error(compiled.message);
  return createMatcher(compiled.grammar);
}

describe("a keyword compiles to what it means", () => {
  test.each([...scalarCases, ...structureCases, ...combinationCases])(
    "$name",
    ({ schema, valid, invalid }) => {
      const matcher = matcherOf(schema);
      for (const document of valid) {
        expect(acceptsDocument(matcher, document), `accepts ${JSON.stringify(document)}`).toBe(true);
        expect(acceptsDocument(matcher, document, " "), `accepts ${JSON.stringify(document)}, spaced`).toBe(
          true,
        );
      }
      for (const document of invalid) {
        expect(acceptsDocument(matcher, document), `rejects ${JSON.stringify(document)}`).toBe(false);
      }
    },
  );
});

describe("what can't be expressed is refused by keyword and path", () => {
  test.each(refusedCases)("$name", ({ schema, keyword, path }) => {
    const compiled = compileJsonSchema(schema);
    expect(compiled).toMatchObject({ ok: false, keyword, path });
    if (!compiled.ok && path !== "") expect(compiled.message).toContain(`\`${keyword}\` at \`#${path}\``);
  });
});

describe("the text", () => {
  const schema = {
    type: "object",
    properties: { b: { type: "integer" }, a: { type: "integer" }, c: { type: "string" } },
    required: ["a"],
  };

  test.each([
    ['{"b":1,"a":2}', true],
    ['{"b": 1, "a": 2}', true],
    ['{"a":2,"c":"x"}', true],
    ['{"a":2,"b":1}', false],
    ['{"a":2,"z":1}', true],
    ['{"z":1,"a":2}', false],
    ['{"a":2,"a":3}', false],
    ['{"a":2,"z":1,"b":1}', false],
    ['{"a":2,"\\u0062":1}', false],
    ['{ "a":2}', false],
    ['{"a":2} ', false],
    ['{"a":02}', false],
    ['{"a":2,}', false],
  ])("declared keys in order, then others, at most one space: %s is %s", (json, accepted) => {
    expect(matcherOf(schema).matches(json)).toBe(accepted);
  });

  test.each([
    ['"é\\u00e9\\ud83d\\ude00😀"', true],
    ['"\\n\\/\\\\\\""', true],
    ['"\\ud83d"', false],
    ['"\\x41"', false],
    ['"a\nb"', false],
  ])("any string in any of JSON's spellings: %s is %s", (json, accepted) => {
    expect(matcherOf({ type: "string" }).matches(json)).toBe(accepted);
  });

  test("an escape counts as the one character it is", () => {
    const matcher = matcherOf({ type: "string", minLength: 2, maxLength: 2 });
    expect(matcher.matches('"\\u0041\\ud83d\\ude00"')).toBe(true);
    expect(matcher.matches('"\\u0041"')).toBe(false);
    expect(matcher.matches('"😀😀"')).toBe(true);
    expect(matcher.matches('"abc"')).toBe(false);
  });

  test("an escape can't get past a pattern", () => {
    const matcher = matcherOf({ type: "string", pattern: '^[^"]*$' });
    expect(matcher.matches('"a\\\\b"')).toBe(true);
    expect(matcher.matches('"a\\"b"')).toBe(false);
    expect(matcher.matches('"a\\u0022b"')).toBe(false);
  });
});

test("json_object is any object and nothing else", () => {
  const matcher = createMatcher(jsonObjectGrammar());
  for (const json of ["{}", '{"a":[1,-2.5e-3,{"b":null}],"c":"x"}', '{"a": true}']) {
    expect(matcher.matches(json)).toBe(true);
  }
  for (const json of ["[]", "1", '{"a"}', "{", '{"a":1}}', '{"a":01}'])
    expect(matcher.matches(json)).toBe(false);
});

test("several schemas share one book of rules", () => {
  const book = createRuleBook();
  const tools = [
    {
      type: "object",
      properties: { city: { type: "string" } },
      required: ["city"],
      additionalProperties: false,
    },
    {
      type: "object",
      properties: { city: { type: "integer" } },
      required: ["city"],
      additionalProperties: false,
    },
  ].map((schema, i) => compileRules(book, schema, `tool-${i}`));
  const rules = tools.flatMap((tool) => (tool.ok ? [tool.rule] : []));
  const [first, second] = rules;
  if (first === undefined || second === undefined) throw new Error("both compile");
  const matcher = createMatcher(book.print(seq(first, text("\n"), second)) ?? "");
  expect(matcher.matches('{"city":"x"}\n{"city":1}')).toBe(true);
  expect(matcher.matches('{"city":1}\n{"city":"x"}')).toBe(false);
});

test("a large schema stays within a size llama.cpp reads in milliseconds", () => {
  const properties = Object.fromEntries(
    Array.from({ length: 200 }, (_, i) => [`property_${i}`, { type: "string" }]),
  );
  const compiled = compileJsonSchema({ type: "object", properties, additionalProperties: false });
  if (!compiled.ok) throw new Error(compiled.message);
  expect(compiled.grammar.length).toBeLessThan(300_000);
  const matcher = createMatcher(compiled.grammar);
  expect(matcher.matches('{"property_3":"a","property_150":"b","property_199":"c"}')).toBe(true);
  expect(matcher.matches('{"property_150":"b","property_3":"a"}')).toBe(false);
});
