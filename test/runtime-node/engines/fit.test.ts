import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type FitInput, fitContext, formatBytes } from "../../../runtime-node/engines/fit.ts";

const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** The demo model: 5 layers, f16 keys and values. */
const demo: FitInput = {
  memoryBytes: 16 * GIB,
  weightsBytes: 7 * MIB,
  context: { fixedBytes: 15 * MIB, sequenceBytes: 0, tokenBytes: 2560 },
  trainContextSize: 2048,
};
/** An 8B model, 4 bits a weight, trained on 128k tokens. */
const large: FitInput = {
  memoryBytes: 24 * GIB,
  weightsBytes: 5 * GIB,
  context: { fixedBytes: 300 * MIB, sequenceBytes: 0, tokenBytes: 128 * 1024 },
  trainContextSize: 131_072,
};

describe("fitContext", () => {
  it.each<[string, FitInput, [contextSize: number, sequences: number]]>([
    ["a small model: 64 whole contexts", demo, [2048, 64]],
    ["a small model in 512 MiB: fewer sequences", { ...demo, memoryBytes: 512 * MIB }, [2048, 16]],
    ["a large model: 4 sequences that share half of what is free", large, [18_900, 4]],
    ["twice the memory: longer ones", { ...large, memoryBytes: 48 * GIB }, [43_476, 4]],
    ["little room: 2 comfortable ones", { ...large, memoryBytes: 10 * GIB }, [9128, 2]],
    ["less room: one", { ...large, memoryBytes: 7 * GIB }, [5968, 1]],
    ["hardly any: the least that is worth it", { ...large, memoryBytes: 5.65 * GIB }, [512, 1]],
    ["context size configured: sequences follow", { ...large, contextSize: 4096 }, [4096, 18]],
    ["sequences configured: context size follows", { ...large, sequences: 8 }, [18_900, 8]],
    ["both configured: kept", { ...large, contextSize: 16_384, sequences: 8 }, [16_384, 8]],
    ["a cache a sequence counts", { ...demo, context: { ...demo.context, sequenceBytes: GIB } }, [2048, 4]],
  ])("%s", (_, input, [contextSize, sequences]) => {
    expect(fitContext(input)).toMatchObject({ ok: true, contextSize, sequences });
  });

  it.each<[string, FitInput]>([
    ["the weights alone are too big", { ...large, memoryBytes: 4 * GIB }],
    ["what is configured is too big", { ...large, contextSize: 65_536, sequences: 8 }],
    ["there is no memory", { ...demo, memoryBytes: 0 }],
  ])("says how much is needed and how much there is when %s", (_, input) => {
    const fit = fitContext(input);
    expect(fit.ok).toBe(false);
    if (!fit.ok) expect(fit.neededBytes).toBeGreaterThan(fit.availableBytes);
  });

  it("never takes more than there is, and leaves half when nothing is configured", () => {
    const inputs = fc.record({
      memoryBytes: fc.integer({ min: 0, max: 100 * GIB }),
      weightsBytes: fc.integer({ min: 1, max: 50 * GIB }),
      context: fc.record({
        fixedBytes: fc.integer({ min: 0, max: GIB }),
        sequenceBytes: fc.integer({ min: 0, max: 100 * MIB }),
        tokenBytes: fc.integer({ min: 1, max: 2 ** 20 }),
      }),
      trainContextSize: fc.integer({ min: 128, max: 1_000_000 }),
    });
    fc.assert(
      fc.property(inputs, (input) => {
        const fit = fitContext(input);
        if (!fit.ok) return;
        expect(fit.neededBytes).toBeLessThanOrEqual(input.memoryBytes);
        expect(fit.contextSize).toBeLessThanOrEqual(input.trainContextSize);
        expect(fit.contextSize).toBeGreaterThan(0);
      }),
    );
  });
});

describe("formatBytes", () => {
  it.each([
    [0, "0 B"],
    [1023, "1023 B"],
    [1536, "1.5 KiB"],
    [350 * MIB, "350 MiB"],
    [39.96 * GIB, "40.0 GiB"],
  ])("%d is %s", (bytes, text) => expect(formatBytes(bytes)).toBe(text));
});
