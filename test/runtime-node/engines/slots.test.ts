import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  firstPiece,
  pacePrefill,
  pickCompanions,
  pickSlot,
  planPrefill,
} from "../../../runtime-node/engines/slots.ts";

const free = (id: number, sharedTokens = 0, promptTokens = sharedTokens, lastUsed = 0) => ({
  id,
  sharedTokens,
  promptTokens,
  lastUsed,
});

describe("pickSlot", () => {
  it.each<[string, ReturnType<typeof free>[], number[], number | undefined]>([
    ["none is free", [], [0], undefined],
    ["the longest common prefix wins", [free(0, 10), free(1, 90), free(2, 40)], [], 1],
    [
      "of equals the least recently used",
      [free(0, 10, 10, 7), free(1, 10, 10, 3), free(2, 10, 10, 5)],
      [],
      1,
    ],
    [
      "an empty one rather than a chat that only has the system message in common",
      [free(0, 30, 200, 1), free(1)],
      [],
      1,
    ],
    ["the chat whose system message is most of it", [free(0, 1000, 1100, 1), free(1)], [], 0],
    ["a neighbour of a busy one, so that rows are computed together", [free(3), free(1), free(7)], [0], 1],
    ["not at the price of a long prefix", [free(1), free(7, 2000)], [0], 7],
    ["but of a short one", [free(1), free(7, 100)], [0], 1],
  ])("%s", (_, slots, busy, id) => {
    expect(pickSlot(slots, new Set(busy))?.id).toBe(id);
  });
});

describe("planPrefill", () => {
  const limits = { each: 60, total: 200 };

  it.each<[string, [id: number, remaining: number][], number[], number]>([
    ["nobody waits", [], [], 0],
    ["a short prompt goes whole", [[0, 30]], [0], 30],
    ["a long one by pieces", [[0, 900]], [0], 60],
    ["a last token is taken along", [[0, 61]], [0], 61],
    [
      "prompts of the same length go together while there is room",
      [
        [0, 50],
        [1, 50],
        [2, 50],
        [3, 50],
        [4, 50],
      ],
      [0, 1, 2, 3],
      50,
    ],
    [
      "a longer one joins, a shorter one waits",
      [
        [0, 40],
        [1, 900],
        [2, 10],
      ],
      [0, 1],
      40,
    ],
    [
      "one that would keep a single token waits",
      [
        [0, 40],
        [1, 41],
      ],
      [0],
      40,
    ],
  ])("%s", (_, line, ids, take) => {
    const waiting = line.map(([id, remaining]) => ({ id, remaining }));
    expect(planPrefill(waiting, limits)).toEqual({ ids, take });
  });

  it("computes every prompt without ever leaving one token, and never starves one", () => {
    const prompts = fc.array(fc.integer({ min: 2, max: 500 }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(
        prompts,
        fc.integer({ min: 2, max: 64 }),
        fc.integer({ min: 1, max: 4 }),
        (lengths, each, times) => {
          let line = lengths.map((remaining, id) => ({ id, remaining }));
          const whole = lengths.reduce((sum, length) => sum + Math.ceil(length / (each - 1)), 0);
          for (let step = 0; line.length > 0; step++) {
            expect(step).toBeLessThanOrEqual(whole);
            const { ids, take } = planPrefill(line, { each, total: each * times });
            expect(take).toBeGreaterThan(1);
            expect(ids[0]).toBe(line[0]?.id);
            expect(ids.length === 1 || take * ids.length <= each * times).toBe(true);
            const after = line.map((slot) =>
              ids.includes(slot.id) ? { ...slot, remaining: slot.remaining - take } : slot,
            );
            for (const { remaining } of after) expect(remaining).not.toBe(1);
            line = [...after.slice(1), ...after.slice(0, 1)].filter(({ remaining }) => remaining > 0);
          }
        },
      ),
    );
  });
});

describe("pacePrefill", () => {
  it.each([
    ["as it was when it took 50 ms", 100, 100, 50, 100],
    ["smaller when it took longer", 100, 100, 200, 63],
    ["larger when it was quick", 100, 100, 25, 150],
    ["never beyond the most", 250, 250, 1, 253],
    ["never below 16", 16, 16, 5000, 16],
    ["as it was after a small one, which says little", 100, 20, 200, 100],
  ])("is %s", (_, total, tokens, ms, next) => {
    expect(pacePrefill(total, { tokens, ms }, 256)).toBe(next);
  });
});

describe("firstPiece", () => {
  it.each([
    [2000, 100],
    [100_000, 256],
    [10, 16],
  ])("at %d tokens a second has %d", (speed, tokens) => expect(firstPiece(speed, 256)).toBe(tokens));
});

describe("pickCompanions", () => {
  const weights = (...pairs: [number, number][]) => new Map(pairs);

  it.each<[string, number[], Map<number, number>, number[]]>([
    ["neighbours need none", [3, 4], weights([2, 0], [5, 0]), []],
    ["a single row gets its lightest neighbour", [3], weights([2, 50], [4, 10]), [4]],
    ["one companion serves the rows on both sides", [1, 3], weights([0, 9], [2, 5], [4, 0]), [2]],
    ["at the edge", [0], weights([1, 0]), [1]],
    ["where nobody can, none", [0], weights([5, 0]), []],
  ])("%s", (_, rows, others, ids) => {
    expect(pickCompanions(rows, others)).toEqual(ids);
  });
});
