import { describe, expect, it } from "vitest";
import { addUsage, NO_USAGE, readUsage, toWireUsage } from "../../../shared/openai/usage.ts";
import { expectSchema } from "../../harness/oracle.ts";

const of = (promptTokens: number, completionTokens = 0, cachedTokens = 0, reasoningTokens = 0) => ({
  promptTokens,
  completionTokens,
  cachedTokens,
  reasoningTokens,
});

describe("usage is read from every form that engines send", () => {
  it.each([
    ["OpenAI's", { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 }, of(3, 2)],
    ["embeddings, without completion", { prompt_tokens: 3, total_tokens: 3 }, of(3)],
    ["a null completion", { prompt_tokens: 3, completion_tokens: null, total_tokens: 3 }, of(3)],
    [
      "with details",
      {
        prompt_tokens: 9,
        completion_tokens: 5,
        total_tokens: 14,
        prompt_tokens_details: { cached_tokens: 7 },
        completion_tokens_details: { reasoning_tokens: 4 },
      },
      of(9, 5, 7, 4),
    ],
    [
      "null details, as vLLM sends",
      { prompt_tokens: 1, completion_tokens: 1, prompt_tokens_details: null },
      of(1, 1),
    ],
    ["null counts in details", { prompt_tokens: 1, prompt_tokens_details: { cached_tokens: null } }, of(1)],
    ["details that are nonsense", { prompt_tokens: 1, prompt_tokens_details: "many" }, of(1)],
  ])("%s", (_, usage, expected) => {
    expect(readUsage({ usage })).toEqual(expected);
  });

  it.each([
    ["an answer without it", {}],
    ["null", { usage: null }],
    ["an empty object", { usage: {} }],
    ["a negative count", { usage: { prompt_tokens: -1 } }],
    [
      "more than a billion tokens: -1 as an unsigned number, say",
      { usage: { prompt_tokens: 4_294_967_295 } },
    ],
    ["a sum of more", { usage: { prompt_tokens: 10 ** 9, completion_tokens: 1 } }],
    ["a fraction", { usage: { prompt_tokens: 1.5 } }],
    ["a text", { usage: "3" }],
    ["no answer at all", null],
    ["a text for an answer", "usage"],
  ])("but not from %s", (_, answer) => {
    expect(readUsage(answer)).toBeUndefined();
  });
});

describe("usage is written", () => {
  it("so that it sums, and as the schema says", () => {
    const wire = toWireUsage(of(9, 5, 7, 4));
    expect(wire.total_tokens).toBe(14);
    expectSchema("CompletionUsage", wire);
  });

  it("and read back unchanged", () => {
    expect(readUsage({ usage: toWireUsage(of(9, 5, 7, 4)) })).toEqual(of(9, 5, 7, 4));
  });
});

it("usage adds up count by count, and nothing adds nothing", () => {
  expect(addUsage(of(1, 2, 3, 4), of(10, 20, 30, 40))).toEqual(of(11, 22, 33, 44));
  expect(addUsage(of(1, 2, 3, 4), NO_USAGE)).toEqual(of(1, 2, 3, 4));
});
