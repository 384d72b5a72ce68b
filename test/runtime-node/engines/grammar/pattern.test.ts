import fc from "fast-check";
import { expect, test } from "vitest";
import { acceptsText } from "../../../../runtime-node/engines/grammar/automaton.ts";
import { patternLanguage } from "../../../../runtime-node/engines/grammar/pattern.ts";

const pieces = fc.constantFrom(
  "a",
  "b",
  "ab",
  "[a-c]",
  "[^a]",
  "\\d",
  "\\w",
  "\\s",
  ".",
  "\\.",
  "(a|b)",
  "(?:ab)?",
  "[\\w-]",
  "\\x61",
  "\\u{1F600}",
);
const quantifiers = fc.constantFrom("", "", "*", "+", "?", "{2}", "{1,3}", "{2,}", "*?");
const patterns = fc
  .tuple(
    fc.constantFrom("", "^", "^(?!ab)", "^(?=.*b)"),
    fc.array(
      fc.tuple(pieces, quantifiers).map(([piece, quantifier]) => `(?:${piece})${quantifier}`),
      { maxLength: 4 },
    ),
    fc.constantFrom("", "|^b", "|a$"),
    fc.constantFrom("", "$"),
  )
  .map(([start, middle, other, end]) =>
    start.includes("?") ? start + middle.join("") + end : start + middle.join("") + other + end,
  );
const texts = fc.array(fc.constantFrom("a", "b", "c", "1", "-", ".", " ", "\n", "\u2028", "é", "😀"), {
  maxLength: 7,
});

test("a pattern's automaton finds what RegExp finds", () => {
  fc.assert(
    fc.property(patterns, fc.array(texts, { minLength: 12, maxLength: 12 }), (pattern, samples) => {
      const language = patternLanguage(pattern);
      const regExp = new RegExp(pattern, "u");
      for (const sample of samples.map((chars) => chars.join(""))) {
        expect(acceptsText(language, sample), `${pattern} on ${JSON.stringify(sample)}`).toBe(
          regExp.test(sample),
        );
      }
    }),
    { seed: 11, numRuns: 400 },
  );
});
