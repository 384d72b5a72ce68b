import { LEAST_PAIRS, pairsNeeded } from "./analyze/pairs.ts";
import { pairsOf, type Slice } from "./analyze/slices.ts";
import { integer, randomFor } from "./random.ts";
import { type NamedRatio, namedRatios } from "./report/ratios.ts";

export type Side = "a" | "b";

export interface PairsPlan {
  /** How many, or `auto`: as many as it takes for the intervals to fit within delta, up to 30. */
  readonly pairs: number | "auto";
  /** The least difference that matters, as a share. */
  readonly delta: number;
  readonly seed: number;
  readonly signal: AbortSignal;
  /** Measures one target for one slice; undefined when it can't be used, and why is for the caller to keep. */
  measure(side: Side, pair: number): Promise<Slice | undefined>;
  onPair?(done: number, wanted: number): void;
}

export interface PairsOutcome {
  readonly a: readonly Slice[];
  readonly b: readonly Slice[];
  readonly ratios: readonly NamedRatio[];
  /** Pairs that were driven but not used. */
  readonly dropped: number;
}

const PILOT = 8;
const MOST = 30;

/**
 * Drives two targets in turn, pair by pair, in an order drawn for every two pairs and turned round for the second:
 * what the machine does in the meantime befalls both alike, and neither always comes first. A pair with a slice that
 * can't be used is driven again, half as many times more as there are pairs.
 */
export async function runPairs(plan: PairsPlan): Promise<PairsOutcome> {
  const { delta, seed, signal, measure, onPair } = plan;
  const slices: Record<Side, Slice[]> = { a: [], b: [] };
  let wanted = plan.pairs === "auto" ? PILOT : plan.pairs;
  let driven = 0;
  const ratios = () => namedRatios(pairsOf(slices.a, slices.b), { delta });

  async function drive(): Promise<void> {
    while (slices.a.length < wanted && driven < wanted * 1.5 && !signal.aborted) {
      const pair = driven++;
      const measured: Partial<Record<Side, Slice | undefined>> = {};
      for (const side of orderOf(seed, pair)) measured[side] = await measure(side, pair);
      const { a, b } = measured;
      if (a !== undefined && b !== undefined && !signal.aborted) {
        slices.a.push(a);
        slices.b.push(b);
      }
      onPair?.(slices.a.length, wanted);
    }
  }

  await drive();
  if (plan.pairs === "auto" && slices.a.length >= LEAST_PAIRS) {
    wanted = Math.max(wanted, Math.min(MOST, pairsNeeded(ratios(), delta)));
    await drive();
  }
  return { ...slices, ratios: ratios(), dropped: driven - slices.a.length };
}

function orderOf(seed: number, pair: number): readonly Side[] {
  const isTurned = integer(randomFor(seed, Math.floor(pair / 2)), 0, 1) === pair % 2;
  return isTurned ? ["b", "a"] : ["a", "b"];
}
