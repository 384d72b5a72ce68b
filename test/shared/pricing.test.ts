import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Usage } from "../../shared/openai/usage.ts";
import { costNanoUsd, MAX_DOLLARS_PER_MILLION, toPrice, worstCaseNanoUsd } from "../../shared/pricing.ts";

function usage(promptTokens: number, completionTokens: number, cachedTokens = 0): Usage {
  return { promptTokens, completionTokens, cachedTokens, reasoningTokens: 0 };
}

describe("a price in dollars per million tokens", () => {
  it.each([
    [0.15, 150_000],
    [0.6, 600_000],
    [2.675, 2_675_000],
    [0.000001, 1],
    [0.0000014, 1],
    [0.0000015, 2],
    [0, 0],
    [MAX_DOLLARS_PER_MILLION, 9_000_000_000],
  ])("%d dollars is %d pico-dollars a token", (dollars, pico) => {
    expect(toPrice({ prompt: dollars, completion: 0 }).promptPicoUsd).toBe(pico);
  });

  it("is exact for every price of up to six decimals", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: MAX_DOLLARS_PER_MILLION * 1_000_000 }), (millionths) => {
        const written = Number(
          `${Math.floor(millionths / 1e6)}.${String(millionths % 1e6).padStart(6, "0")}`,
        );
        expect(toPrice({ prompt: 0, completion: written }).completionPicoUsd).toBe(millionths);
      }),
    );
  });

  it("takes cached tokens at the prompt's price when it names none for them", () => {
    expect(toPrice({ prompt: 3, completion: 15 }).cachedPromptPicoUsd).toBe(3_000_000);
    expect(toPrice({ prompt: 3, cachedPrompt: 0, completion: 15 }).cachedPromptPicoUsd).toBe(0);
  });

  it.each([-0.01, Number.NaN, Number.POSITIVE_INFINITY, MAX_DOLLARS_PER_MILLION + 1])(
    "refuses %d",
    (dollars) => {
      expect(() => toPrice({ prompt: dollars, completion: 0 })).toThrow(RangeError);
    },
  );
});

describe("the cost of a request", () => {
  const price = toPrice({ prompt: 2.5, cachedPrompt: 1.25, completion: 10 });

  it.each([
    ["nothing", usage(0, 0), 0],
    ["a million prompt tokens", usage(1_000_000, 0), 2_500_000_000],
    ["one completion token", usage(0, 1), 10_000],
    ["a prompt read half from the cache", usage(1000, 0, 500), 1_875_000],
    ["more cached tokens than the prompt has", usage(1000, 0, 4000), 1_250_000],
  ])("of %s", (_what, used, nano) => {
    expect(costNanoUsd(price, used)).toBe(nano);
  });

  it("is rounded up once, on the sum", () => {
    const tiny = toPrice({ prompt: 0.000001, completion: 0.000001 });
    expect(costNanoUsd(tiny, usage(1, 0))).toBe(1);
    expect(costNanoUsd(tiny, usage(400, 600))).toBe(1);
    expect(costNanoUsd(tiny, usage(400, 601))).toBe(2);
  });

  it("throws rather than be inexact", () => {
    const dear = toPrice({ prompt: MAX_DOLLARS_PER_MILLION, completion: 0 });
    expect(costNanoUsd(dear, usage(1_000_000_000, 0))).toBe(9_000_000_000_000_000);
    expect(() => costNanoUsd(dear, usage(1_100_000_000, 0))).toThrow(RangeError);
  });

  const dollars = fc.double({ min: 0, max: 1000, noNaN: true });
  const tokens = fc.integer({ min: 0, max: 10_000_000 });
  const prices = fc.record({ prompt: dollars, cachedPrompt: dollars, completion: dollars }).map(toPrice);

  it("is never above what was held, whatever was cached", () => {
    fc.assert(
      fc.property(
        prices,
        tokens,
        tokens,
        fc.array(tokens, { minLength: 3, maxLength: 3 }),
        (p, prompt, max, used) => {
          const [a = 0, b = 0, c = 0] = used;
          const actual = usage(Math.min(a, prompt), Math.min(b, max), Math.min(c, a, prompt));
          expect(costNanoUsd(p, actual)).toBeLessThanOrEqual(worstCaseNanoUsd(p, prompt, max));
        },
      ),
    );
  });

  it("of two requests is at most a nano-dollar more than of both in one", () => {
    fc.assert(
      fc.property(prices, tokens, tokens, tokens, tokens, (p, a, b, c, d) => {
        const apart = costNanoUsd(p, usage(a, b)) + costNanoUsd(p, usage(c, d));
        const together = costNanoUsd(p, usage(a + c, b + d));
        expect(apart - together === 0 || apart - together === 1).toBe(true);
      }),
    );
  });
});
