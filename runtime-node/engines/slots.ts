/** A free sequence, as far as its choice goes. */
export interface FreeSlot {
  readonly id: number;
  /** How many of the new prompt's first tokens it holds. */
  readonly sharedTokens: number;
  /** How many tokens its last prompt had. */
  readonly promptTokens: number;
  /** Grows with each use; 0 for never. */
  readonly lastUsed: number;
}

/**
 * llama.cpp computes rows of neighbouring sequences together; a row with a gap on both sides costs a pass over the
 * weights of its own, at each token (measured: 4 rows with gaps take 1.4 to 1.7 times as long as 4 neighbours). Over
 * an answer of a hundred tokens that is worth the prefill of some hundred tokens.
 */
const GAP_TOKENS = 256;

/**
 * The sequence for a new prompt: the one that saves most by what it holds, with a gap to the busy ones counted
 * against it; the least recently used of equals. A cache is only worth something to those it was made for: where the
 * prompt shares less with it than it would destroy, it counts as nothing (else every chat with the same system
 * message would go to the same sequence, and throw out the chat before it).
 */
export function pickSlot<Slot extends FreeSlot>(
  free: readonly Slot[],
  busy: ReadonlySet<number>,
): Slot | undefined {
  const score = (slot: Slot) => {
    const lost = Math.max(0, slot.promptTokens - slot.sharedTokens);
    const saved = slot.sharedTokens >= lost ? slot.sharedTokens : 0;
    const hasNeighbour = busy.size === 0 || busy.has(slot.id - 1) || busy.has(slot.id + 1);
    return hasNeighbour ? saved : saved - GAP_TOKENS;
  };
  const better = (a: Slot, b: Slot) => {
    const difference = score(b) - score(a);
    if (difference !== 0) return difference > 0 ? b : a;
    return b.lastUsed < a.lastUsed ? b : a;
  };
  return free.length === 0 ? undefined : free.reduce(better);
}

/** A sequence whose prompt is being computed. */
export interface Prefill {
  readonly id: number;
  readonly remaining: number;
}

export interface PrefillLimits {
  /** Tokens of one prompt in a batch. */
  readonly each: number;
  /** Tokens of all in a batch; at least `each`. */
  readonly total: number;
}

/**
 * Whose prompts the next prefill batch computes, and how many tokens of each: the same of all, and neither 1 nor all
 * but 1, so that no prompt is left with a row that is computed alone. The first in line goes as far as the limits
 * allow (one further for its last token); others join while there is room.
 */
export function planPrefill(
  line: readonly Prefill[],
  { each, total }: PrefillLimits,
): { readonly ids: readonly number[]; readonly take: number } {
  const [head, ...rest] = line;
  if (head === undefined) return { ids: [], take: 0 };
  const take = head.remaining === each + 1 ? head.remaining : Math.min(head.remaining, each);
  const ids = [head.id];
  for (const { id, remaining } of rest) {
    if ((ids.length + 1) * take > total) break;
    if (remaining >= take && remaining !== take + 1) ids.push(id);
  }
  return { ids, take };
}

/** What a prefill batch may take while others stream. */
const PIECE_MS = 50;
const MIN_PIECE = 16;

/**
 * How many tokens the next prefill batch may have, at most `most`, so that it takes 50 ms: from how long the last one
 * took, since a machine is not always as fast as it was when it was measured. Small batches say little, and change
 * nothing.
 */
export function pacePrefill(
  total: number,
  last: { readonly tokens: number; readonly ms: number },
  most: number,
): number {
  if (last.tokens < total / 2) return total;
  const wanted = Math.min(most, Math.max(MIN_PIECE, (last.tokens * PIECE_MS) / Math.max(last.ms, 1)));
  return Math.round((total + wanted) / 2);
}

/** As `pacePrefill`, for the first one: from a measured speed. */
export function firstPiece(tokensPerSecond: number, most: number): number {
  return Math.round(Math.min(most, Math.max(MIN_PIECE, (tokensPerSecond * PIECE_MS) / 1000)));
}

/**
 * For each row without a neighbour in its batch, a neighbouring sequence to compute a token beside it, so that no row
 * is computed alone. `weights` are the sequences that may, with what a token of theirs costs.
 */
export function pickCompanions(
  rows: readonly number[],
  weights: ReadonlyMap<number, number>,
): readonly number[] {
  const batch = new Set(rows);
  const companions: number[] = [];
  for (const row of rows) {
    if (batch.has(row - 1) || batch.has(row + 1)) continue;
    const sides = [row - 1, row + 1].filter((id) => weights.has(id));
    const [lightest] = sides.sort((a, b) => (weights.get(a) ?? 0) - (weights.get(b) ?? 0));
    if (lightest === undefined) continue;
    batch.add(lightest);
    companions.push(lightest);
  }
  return companions;
}
