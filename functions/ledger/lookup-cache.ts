/** How long an isolate goes by what it was told: a key revoked elsewhere is served no longer than this. */
export const FOUND_MS = 30_000;
/** Shorter where nothing was found, so that a key just made works soon; long enough that guessing stays cheap. */
export const NOT_FOUND_MS = 5_000;
const MAX_ENTRIES = 2_000;

export interface LookupCache<V> {
  /** What `find` said, asked again only when its answer is too old. Failures are never kept. */
  get(id: string): Promise<V | undefined>;
  /** Forgets every answer, also of look-ups on their way. */
  clear(): void;
}

/**
 * Look-ups of this isolate, so that a request's way needs no round trip for them. What isn't there is kept apart: no
 * flood of guesses drives out the keys that are used. Values alone are shared between requests, never promises: workerd
 * ties a promise to the request that made it.
 */
export function createLookupCache<V>(
  find: (id: string) => Promise<V | undefined>,
  now: () => number,
): LookupCache<V> {
  const found = createTtlMap<V>(FOUND_MS, now);
  const notFound = createTtlMap<true>(NOT_FOUND_MS, now);
  let generation = 0;
  return {
    async get(id) {
      const kept = found.get(id);
      if (kept !== undefined || notFound.get(id)) return kept;
      const asked = generation;
      const value = await find(id);
      if (asked !== generation) return value;
      if (value === undefined) notFound.set(id, true);
      else found.set(id, value);
      return value;
    },
    clear() {
      generation += 1;
      found.clear();
      notFound.clear();
    },
  };
}

/** At most `MAX_ENTRIES` values, each for `ttlMs`; the one set first leaves first. */
function createTtlMap<V>(ttlMs: number, now: () => number) {
  const entries = new Map<string, { readonly value: V; readonly until: number }>();
  return {
    get(id: string): V | undefined {
      const entry = entries.get(id);
      if (entry === undefined || entry.until > now()) return entry?.value;
      entries.delete(id);
      return undefined;
    },
    set(id: string, value: V): void {
      entries.delete(id);
      entries.set(id, { value, until: now() + ttlMs });
      const [oldest] = entries.keys();
      if (entries.size > MAX_ENTRIES && oldest !== undefined) entries.delete(oldest);
    },
    clear: () => entries.clear(),
  };
}
