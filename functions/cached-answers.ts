import type { AnswerStore } from "./idempotency.ts";

/** A name of no server: the cache wants URLs. */
const PREFIX = "https://answers.sluice.invalid/";

/** Answers kept in the edge's cache: near the client that repeats itself, and gone when the cache wants the room. */
export function createCachedAnswers(cache: Cache): AnswerStore {
  const requestOf = (id: string) => new Request(PREFIX + id);
  return {
    async get(id) {
      const found = await cache.match(requestOf(id));
      return found === undefined ? undefined : await found.json();
    },
    async put(id, answer, ttlMs) {
      const headers = { "cache-control": `max-age=${Math.ceil(ttlMs / 1000)}` };
      await cache.put(requestOf(id), Response.json(answer, { headers }));
    },
  };
}
