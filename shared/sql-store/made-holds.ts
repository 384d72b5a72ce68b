import type { HoldRow } from "./rows.ts";

/** Holds that were made here and not yet ended, so that ending one needn't read it. What is written decides. */
export interface MadeHolds {
  add(hold: HoldRow): void;
  /** Forgets it. */
  take(requestId: string): HoldRow | undefined;
}

/** Some 5 MB. The oldest goes first: it was ended by somebody else, or is read. */
const MAX_HOLDS = 10_000;

export function createMadeHolds(): MadeHolds {
  const holds = new Map<string, HoldRow>();
  return {
    add(hold) {
      const oldest = holds.keys().next();
      if (holds.size >= MAX_HOLDS && !oldest.done) holds.delete(oldest.value);
      holds.set(hold.request_id, hold);
    },
    take(requestId) {
      const hold = holds.get(requestId);
      holds.delete(requestId);
      return hold;
    },
  };
}
