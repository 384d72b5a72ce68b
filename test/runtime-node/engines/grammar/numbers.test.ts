import fc from "fast-check";
import { expect, test } from "vitest";
import {
  bounded,
  hasNumber,
  intersectNumbers,
  multiples,
  otherNumbers,
} from "../../../../runtime-node/engines/grammar/numbers.ts";

/** Up to two decimals, so that doubles hold them apart. */
const decimals = fc.integer({ min: -20_000, max: 20_000 }).map((cents) => cents / 100);

test("bounds and their complements hold what < and > say", () => {
  fc.assert(
    fc.property(decimals, fc.array(decimals, { minLength: 8, maxLength: 8 }), (bound, values) => {
      for (const value of [...values, bound, bound + 1, Math.round(100 * bound - 1) / 100]) {
        const at = `${value} at ${bound}`;
        expect(hasNumber(bounded("minimum", bound, false), value), at).toBe(value >= bound);
        expect(hasNumber(bounded("minimum", bound, true), value), at).toBe(value > bound);
        expect(hasNumber(bounded("maximum", bound, false), value), at).toBe(value <= bound);
        expect(hasNumber(otherNumbers(bounded("maximum", bound, false)), value), at).toBe(value > bound);
      }
    }),
    { seed: 5, numRuns: 60 },
  );
});

test("multiples are those of decimal arithmetic, within bounds too", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(1, 2, 3, 7, 10, 25, 60, 100),
      fc.integer({ min: -5_000, max: 5_000 }),
      (divisor, value) => {
        const set = intersectNumbers(multiples(divisor), bounded("minimum", -100, false));
        expect(hasNumber(set, value), `${value} by ${divisor}`).toBe(value >= -100 && value % divisor === 0);
        expect(hasNumber(multiples(divisor / 100), value / 100), `${value / 100} by ${divisor / 100}`).toBe(
          value % divisor === 0,
        );
      },
    ),
    { seed: 6, numRuns: 200 },
  );
});
