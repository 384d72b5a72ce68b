/** Synchronous key-value storage of a Durable Object; all of it that is used here. */
export interface ObjectKv {
  get(key: string): unknown;
  put(key: string, value: unknown): void;
  list(options: { prefix: string; startAfter?: string; limit: number }): Iterable<[string, unknown]>;
}

/** Which objects may have money in them; kept by the directory's object. */
export interface Listing {
  /** Before an object writes its first row: whoever reads all books finds every one. */
  add(name: string): Promise<void>;
  /** Sorted: the next ones after `name`, none at the end. */
  after(name: string): Promise<readonly string[]>;
}

const PREFIX = "listed:";
const PAGE = 1000;

/** @param kv - the storage of the directory's object. */
export function createListing(kv: ObjectKv): Listing {
  return {
    add: async (name) => kv.put(PREFIX + name, true),
    after: async (name) => {
      const page = kv.list({ prefix: PREFIX, startAfter: PREFIX + name, limit: PAGE });
      return Array.from(page, ([key]) => key.slice(PREFIX.length));
    },
  };
}
