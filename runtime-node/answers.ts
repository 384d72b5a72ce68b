import type { AnswerStore, StoredAnswer } from "../functions/idempotency.ts";

interface Kept {
  readonly answer: StoredAnswer;
  readonly expiresAt: number;
}

/** Memory for kept answers, in UTF-16 units; the oldest are dropped beyond. */
const MAX_CHARS = 32 * 1024 * 1024;

/** Answers kept in this process: a retry after a restart is told that it was billed, not what the answer was. */
export function createAnswerStore(now: () => number): AnswerStore {
  const kept = new Map<string, Kept>();
  let chars = 0;
  const drop = (id: string): void => {
    chars -= kept.get(id)?.answer.body.length ?? 0;
    kept.delete(id);
  };

  return {
    async get(id) {
      const found = kept.get(id);
      if (found === undefined || found.expiresAt > now()) return found?.answer;
      drop(id);
      return undefined;
    },
    async put(id, answer, ttlMs) {
      drop(id);
      kept.set(id, { answer, expiresAt: now() + ttlMs });
      chars += answer.body.length;
      for (const oldest of kept.keys()) {
        if (chars <= MAX_CHARS) break;
        drop(oldest);
      }
    },
  };
}
