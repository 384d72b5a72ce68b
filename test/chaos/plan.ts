import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import type { Fate } from "./counting-upstream.ts";

/** What one client does. Every draw comes from the seed and the stream's number. */
export interface StreamPlan {
  /** Its `user` and its `Idempotency-Key`: the receipt's id follows from it. */
  readonly name: string;
  /** Leaves after so many events; undefined: stays to the end. */
  readonly leavesAfter: number | undefined;
  readonly fate: Fate;
}

/** A third of the clients leave in mid-stream; a fifth of the backends die, a few before their first token. */
export function planStreams(count: number, seed: number): readonly StreamPlan[] {
  return Array.from({ length: count }, (_, index) => {
    const random = xoroshiro128plus(seed * 1_000_003 + index);
    const draw = (from: number, to: number) => uniformInt(random, from, to);
    const tokens = draw(3, 60);
    const isLeft = draw(1, 100) <= 33;
    const isDead = draw(1, 100) <= 20;
    return {
      name: `stream-${index}`,
      leavesAfter: isLeft ? draw(1, tokens) : undefined,
      fate: {
        promptTokens: draw(5, 500),
        tokens,
        gapMs: draw(1, 8),
        diesAfter: isDead ? draw(0, tokens - 1) : undefined,
      },
    };
  });
}
