import fc from "fast-check";
import { expect, it } from "vitest";
import {
  debtAfter,
  monthOf,
  remaining,
  resetMs,
  startOfMonth,
  UNIT,
  waitMs,
} from "../../../shared/sql-store/limits.ts";

const MAX_LIMIT = 1_000_000_000;
const limit = fc.integer({ min: 1, max: MAX_LIMIT });

it("gives back the whole limit in a minute, to the last unit, in steps of whatever length", () => {
  fc.assert(
    fc.property(limit, fc.array(fc.nat(5000), { maxLength: 100 }), (perMinute, steps) => {
      let debt = perMinute * UNIT;
      let left = 60_000;
      for (const step of steps) {
        const ms = Math.min(step, left);
        debt = debtAfter(debt, ms, perMinute);
        left -= ms;
        expect(debt).toBe(left * perMinute);
      }
      expect(debtAfter(debt, left, perMinute)).toBe(0);
    }),
  );
});

it("says when it fits, to the millisecond", () => {
  fc.assert(
    fc.property(limit, fc.nat(MAX_LIMIT), fc.nat(MAX_LIMIT), (perMinute, used, quantity) => {
      const debt = Math.min(used, perMinute) * UNIT;
      const wait = waitMs(debt, quantity, perMinute);
      expect(wait === null).toBe(quantity > perMinute);
      if (wait === null) return;
      const fits = (ms: number) => debtAfter(debt, ms, perMinute) + quantity * UNIT <= perMinute * UNIT;
      expect(fits(wait)).toBe(true);
      if (wait > 0) expect(fits(wait - 1)).toBe(false);
    }),
  );
});

it("charges one token of a billion a minute as one, not as what flows in a microsecond", () => {
  let debt = 0;
  for (let i = 0; i < 1000; i++) debt += UNIT;
  expect(remaining(debt, MAX_LIMIT)).toBe(MAX_LIMIT - 1000);
  expect(resetMs(debt, MAX_LIMIT)).toBe(1);
});

it("gives nothing back to a clock that was set back, and only what a lowered limit has", () => {
  expect(debtAfter(50 * UNIT, -3_600_000, 100)).toBe(50 * UNIT);
  expect(debtAfter(50 * UNIT, 0, 10)).toBe(10 * UNIT);
  expect(remaining(debtAfter(50 * UNIT, 0, 10), 10)).toBe(0);
});

it.each([
  "2026-11-30T23:59:59.999Z",
  "2026-12-01T00:00:00.000Z",
  "2027-01-01T00:00:00.000Z",
  "2028-02-29T12:00:00.000Z",
])("knows the month of %s", (text) => {
  const month = monthOf(Date.parse(text));
  expect(new Date(startOfMonth(month)).toISOString()).toBe(`${text.slice(0, 7)}-01T00:00:00.000Z`);
});
