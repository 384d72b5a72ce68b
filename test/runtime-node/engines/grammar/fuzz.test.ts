import fc from "fast-check";
import { expect, test } from "vitest";
import { compileJsonSchema } from "../../../../runtime-node/engines/grammar/json-schema.ts";
import { createRandom } from "../../../../runtime-node/engines/random.ts";
import { acceptsDocument } from "./document-search.ts";
import { createMatcher, parseGbnf } from "./gbnf-matcher.ts";
import { createTextSampler } from "./gbnf-sampler.ts";
import { mutants } from "./mutants.ts";
import { createOracle } from "./oracle.ts";
import { schemas } from "./schema-arbitrary.ts";

const TEXTS_A_SCHEMA = 6;

test("every text of the grammar is valid by ajv, and its mutants are accepted where ajv does and nowhere else", () => {
  let compiledCount = 0;
  let mutantCount = 0;
  fc.assert(
    fc.property(schemas, fc.integer(), (schema, seed) => {
      const compiled = compileJsonSchema(schema);
      if (!compiled.ok) {
        expect(compiled.keyword).not.toBe("");
        return;
      }
      compiledCount++;
      const isValid = createOracle(schema);
      const rules = parseGbnf(compiled.grammar);
      const matcher = createMatcher(rules);
      const random = createRandom(seed);
      const sample = createTextSampler(rules, random);
      for (let i = 0; i < TEXTS_A_SCHEMA; i++) {
        const text = sample(40);
        const document: unknown = JSON.parse(text);
        expect(matcher.matches(text), `the matcher refuses ${text}`).toBe(true);
        expect(isValid(document), `${text} is not valid`).toBe(true);
        for (const mutant of mutants(document, random).filter(hasShortNumbers)) {
          mutantCount++;
          const accepted = acceptsDocument(matcher, mutant);
          expect(accepted, `${JSON.stringify(mutant)}, from ${text}`).toBe(isValid(mutant));
        }
      }
    }),
    { seed: 20_261_125, numRuns: 400 },
  );
  expect(compiledCount).toBeGreaterThan(200);
  expect(mutantCount).toBeGreaterThan(2_000);
});

/** The converter bounds the digits of a number; past 15 of them doubles would blur the comparison anyway. */
function hasShortNumbers(document: unknown): boolean {
  if (typeof document === "number") return /^-?[\d.]{1,15}$/.test(String(document));
  return typeof document !== "object" || document === null || Object.values(document).every(hasShortNumbers);
}
