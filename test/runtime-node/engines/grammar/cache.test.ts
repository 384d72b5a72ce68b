import { expect, test } from "vitest";
import { createGrammarCache } from "../../../../runtime-node/engines/grammar/cache.ts";

test("the same schema is compiled once, whichever object it comes in", () => {
  const cache = createGrammarCache();
  const first = cache.compile({ type: "object", properties: { a: { type: "integer" } } });
  expect(cache.compile({ type: "object", properties: { a: { type: "integer" } } })).toBe(first);
});

test("the order of properties makes another grammar", () => {
  const cache = createGrammarCache();
  const first = cache.compile({ type: "object", properties: { a: {}, b: {} } });
  expect(cache.compile({ type: "object", properties: { b: {}, a: {} } })).not.toEqual(first);
});

test("refusals are kept too", () => {
  const cache = createGrammarCache();
  const first = cache.compile({ type: "array", uniqueItems: true });
  expect(first).toMatchObject({ ok: false, keyword: "uniqueItems" });
  expect(cache.compile({ type: "array", uniqueItems: true })).toBe(first);
});

test("the schema used longest ago goes first", () => {
  const cache = createGrammarCache(2);
  const [one, two] = [cache.compile({ const: 1 }), cache.compile({ const: 2 })];
  cache.compile({ const: 1 });
  cache.compile({ const: 3 });
  expect(cache.compile({ const: 1 })).toBe(one);
  expect(cache.compile({ const: 2 })).not.toBe(two);
});
