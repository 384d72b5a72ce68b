import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { highestHeld, nextLoad, rungsOf, type Step } from "../../../loadtest/analyze/ladder.ts";

/** Sweeps a server that holds its objectives up to `capacity`. */
function sweep(rungs: readonly number[], isWhole: boolean, capacity: number): readonly Step[] {
  const steps: Step[] = [];
  for (let load = nextLoad(steps, { rungs, isWhole }); load !== undefined; ) {
    steps.push({ load, holds: load <= capacity });
    load = nextLoad(steps, { rungs, isWhole });
  }
  return steps;
}

describe("nextLoad", () => {
  it("climbs, then halves: concurrency 1, 5, 10, 20, 50 against a server that holds 33", () => {
    const steps = sweep([1, 5, 10, 20, 50], true, 33);
    expect(steps.slice(0, 5).map(({ load }) => load)).toEqual([1, 5, 10, 20, 50]);
    expect(steps[5]?.load).toBe(32);
    expect(highestHeld(steps)).toBe(33);
  });

  it("ends at the top when everything holds, and at the bottom when nothing does", () => {
    expect(sweep([1, 2, 4], true, 100)).toHaveLength(3);
    const steps = sweep([1, 2, 4], true, 0);
    expect(steps).toEqual([{ load: 1, holds: false }]);
    expect(highestHeld(steps)).toBeUndefined();
  });

  it("finds any capacity within 5 % and never reports a load above it, in few steps", () => {
    const range = fc.record({
      from: fc.double({ min: 0.5, max: 20, noNaN: true }),
      factor: fc.double({ min: 1.5, max: 400, noNaN: true }),
      at: fc.double({ min: 0, max: 1, noNaN: true }),
    });
    fc.assert(
      fc.property(range, ({ from, factor, at }) => {
        const capacity = from * factor ** at;
        const steps = sweep(rungsOf(from, from * factor), false, capacity);
        const held = highestHeld(steps);
        expect(held).toBeLessThanOrEqual(capacity);
        expect(held).toBeGreaterThanOrEqual(capacity / 1.05 - 1e-9);
        expect(steps.length).toBeLessThan(18);
      }),
    );
  });

  it("finds a whole capacity within 5 %, and exactly below 20", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 500 }), (capacity) => {
        const held = highestHeld(sweep(rungsOf(1, 512), true, capacity)) ?? 0;
        expect(held).toBeLessThanOrEqual(capacity);
        expect(capacity < 20 ? held : held * 1.05).toBeGreaterThanOrEqual(
          capacity < 20 ? capacity : capacity - 1,
        );
      }),
    );
  });

  it("doesn't count a load that held by luck above one that broke", () => {
    const steps = [
      { load: 10, holds: true },
      { load: 20, holds: false },
      { load: 40, holds: true },
    ];
    expect(highestHeld(steps)).toBe(10);
  });
});
