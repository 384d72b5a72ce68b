import { describe, expect, it } from "vitest";
import { createDraw } from "../../../runtime-node/engines/scored-tokens.ts";
import { toToken } from "../../../runtime-node/engines/token.ts";
import type { Sampling } from "../../../shared/engine.ts";
import { GREEDY } from "../../harness/calls.ts";

const drawn = (logits: readonly number[], generated: readonly number[], sampling: Partial<Sampling> = {}) =>
  createDraw({ ...GREEDY, ...sampling })(
    new Map(logits.map((logit, id) => [toToken(id), logit])),
    generated.map(toToken),
  );

describe("penalties", () => {
  it.each([
    ["none", {}, 0],
    ["frequency, for each time", { frequencyPenalty: 0.6 }, 1],
    ["presence, once", { presencePenalty: 0.6 }, 0],
    ["presence, once and enough", { presencePenalty: 1.2 }, 1],
  ])("%s", (_name, sampling, token) => {
    expect(drawn([2, 1, 0], [0, 0], sampling)).toBe(token);
  });

  it("cost a large vocabulary no more behind a long answer", () => {
    const vocabulary = Array.from({ length: 150_000 }, (_, id) => -id);
    const answer = Array.from({ length: 100_000 }, () => 0);
    expect(drawn(vocabulary, answer, { frequencyPenalty: 1 })).toBe(1);
  }, 20_000);
});
