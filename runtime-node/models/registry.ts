import { modelNotFound, overloaded, unavailable } from "../../shared/openai/errors.ts";
import { decide, type ModelFacts, type RegistryLimits } from "./registry-plan.ts";

/** A model that can be loaded and unloaded again. */
export interface RegisteredModel {
  readonly id: string;
  /** What it takes when loaded; 0 where that is not known. */
  readonly bytes: number;
  /** Idle for so long it is unloaded, in ms; undefined: never. */
  readonly ttlMs?: number | undefined;
  /** Resolves when it can answer. Rejects with what the client may see. */
  readonly load: () => Promise<void>;
  /** Resolves when its memory is free again. */
  readonly unload: () => Promise<void>;
}

export interface RegistryOptions extends RegistryLimits {
  /** Requests that may wait for a model; beyond, 429. */
  readonly queueLimit?: number;
  readonly monotonic?: () => number;
  /** Calls `work` after `ms`; the returned function calls it off. */
  readonly after?: (ms: number, work: () => void) => () => void;
}

/** Loads models when they are asked for, and unloads them to make room or when nobody asks for long. */
export interface Registry {
  add(model: RegisteredModel): void;
  /**
   * Waits until `id` is loaded, and keeps it loaded until `release`. Rejects with an `ApiError`: 404, 429 when too many
   * wait, 503 when it can't be loaded; or with the signal's reason. Leaving does not stop a load.
   */
  acquire(id: string, signal?: AbortSignal): Promise<Lease>;
  /** Unloads it once nothing is in flight on it; who comes meanwhile waits, and it is loaded again after. */
  unload(id: string): Promise<void>;
  models(): readonly ModelFacts[];
  /** Requests that wait. */
  queued(): number;
  /** Refuses who waits, and unloads everything, whatever is in flight. */
  close(): Promise<void>;
}

export interface Lease {
  /** Once; more does no harm. */
  release(): void;
}

interface Entry {
  readonly model: RegisteredModel;
  state: ModelFacts["state"];
  inFlight: number;
  lastUsed: number;
  mustGo: boolean;
  /** Who waits until it has gone. */
  gone: (() => void)[];
  callOff: () => void;
}

interface Waiter {
  readonly id: string;
  readonly grant: (lease: Lease) => void;
  readonly refuse: (reason: unknown) => void;
}

const RETRY_MS = 2000;

export function createRegistry(options: RegistryOptions = {}): Registry {
  const { queueLimit = 256, monotonic = () => performance.now(), after = afterUnref } = options;
  const entries = new Map<string, Entry>();
  let queue: Waiter[] = [];
  let closing: Promise<void> | undefined;

  const factsOf = ({ model, state, inFlight, lastUsed, mustGo }: Entry): ModelFacts => ({
    id: model.id,
    state,
    inFlight,
    lastUsed,
    bytes: model.bytes,
    mustGo,
  });

  /** Does what is to be done now; called after every change. */
  function pump(): void {
    if (closing !== undefined) return;
    const facts = [...entries.values()].map(factsOf);
    const decision = decide(
      facts,
      queue.map(({ id }) => id),
      options,
    );
    const granted = decision.grant.map((place) => queue[place]);
    const refused = decision.refuse.map((place) => queue[place]);
    queue = queue.filter((waiter) => !granted.includes(waiter) && !refused.includes(waiter));
    for (const waiter of granted) waiter?.grant(lease(waiter.id));
    for (const waiter of refused)
      waiter?.refuse(
        unavailable(`The model \`${waiter.id}\` does not fit into this server's memory.`, 60_000),
      );
    for (const id of decision.load) void load(entryOf(id));
    for (const id of decision.unload) void unload(entryOf(id));
  }

  function entryOf(id: string): Entry {
    const entry = entries.get(id);
    if (entry === undefined) throw modelNotFound(id, [...entries.keys()]);
    return entry;
  }

  function lease(id: string): Lease {
    const entry = entryOf(id);
    entry.callOff();
    entry.inFlight++;
    entry.lastUsed = monotonic();
    let isOver = false;
    return {
      release() {
        if (isOver) return;
        isOver = true;
        entry.inFlight--;
        entry.lastUsed = monotonic();
        watchIdle(entry);
        pump();
      },
    };
  }

  function watchIdle(entry: Entry): void {
    const { ttlMs } = entry.model;
    entry.callOff();
    if (ttlMs === undefined || entry.inFlight > 0 || entry.state !== "loaded") return;
    entry.callOff = after(ttlMs, () => {
      if (entry.inFlight > 0 || entry.state !== "loaded") return;
      entry.mustGo = true;
      pump();
    });
  }

  async function load(entry: Entry): Promise<void> {
    entry.state = "loading";
    const { id } = entry.model;
    try {
      await entry.model.load();
      entry.state = "loaded";
      entry.lastUsed = monotonic();
      // All who have waited for it go in, also those behind others: loading again for each would serve nobody.
      const mine = queue.filter((waiter) => waiter.id === id);
      queue = queue.filter((waiter) => waiter.id !== id);
      for (const waiter of mine) waiter.grant(lease(id));
      watchIdle(entry);
    } catch (reason) {
      setUnloaded(entry);
      for (const waiter of queue) if (waiter.id === id) waiter.refuse(reason);
      queue = queue.filter((waiter) => waiter.id !== id);
    }
    pump();
  }

  async function unload(entry: Entry): Promise<void> {
    entry.state = "unloading";
    entry.callOff();
    // What can't be unloaded is gone for us all the same: its own adapter has logged why.
    await entry.model.unload().catch(() => {});
    setUnloaded(entry);
    pump();
  }

  function setUnloaded(entry: Entry): void {
    entry.state = "unloaded";
    entry.mustGo = false;
    for (const tell of entry.gone.splice(0)) tell();
  }

  function acquire(id: string, signal?: AbortSignal): Promise<Lease> {
    return new Promise((resolve, reject) => {
      const entry = entryOf(id);
      signal?.throwIfAborted();
      if (closing !== undefined) throw unavailable("This server is shutting down.", RETRY_MS);
      const isFree = entry.state === "loaded" && queue.length === 0 && !entry.mustGo;
      if (isFree) return resolve(lease(id));
      if (queue.length >= queueLimit)
        throw overloaded(`Too many requests wait for a model to load (${queueLimit}).`, RETRY_MS);
      const leave = () => {
        queue = queue.filter((each) => each !== waiter);
        reject(signal?.reason);
        pump();
      };
      const waiter: Waiter = {
        id,
        grant: (lease) => {
          signal?.removeEventListener("abort", leave);
          resolve(lease);
        },
        refuse: (reason) => {
          signal?.removeEventListener("abort", leave);
          reject(reason);
        },
      };
      signal?.addEventListener("abort", leave, { once: true });
      queue.push(waiter);
      pump();
    });
  }

  async function closeNow(): Promise<void> {
    const waiting = queue;
    queue = [];
    for (const waiter of waiting) waiter.refuse(unavailable("This server is shutting down.", RETRY_MS));
    await Promise.all(
      [...entries.values()].map(async (entry) => {
        entry.callOff();
        await entry.model.unload().catch(() => {}); // As above.
        setUnloaded(entry);
      }),
    );
  }

  return {
    add: (model) => {
      if (entries.has(model.id)) throw new Error(`The model ${model.id} is registered already`);
      const entry = { model, state: "unloaded" as const, inFlight: 0, lastUsed: 0, mustGo: false, gone: [] };
      entries.set(model.id, { ...entry, callOff: () => {} });
    },
    acquire,
    unload: (id) =>
      new Promise((resolve) => {
        const entry = entryOf(id);
        if (entry.state === "unloaded") return resolve();
        entry.mustGo = true;
        entry.gone.push(resolve);
        pump();
      }),
    models: () => [...entries.values()].map(factsOf),
    queued: () => queue.length,
    close: () => {
      closing ??= closeNow();
      return closing;
    },
  };
}

function afterUnref(ms: number, work: () => void): () => void {
  const timer = setTimeout(work, ms);
  timer.unref();
  return () => clearTimeout(timer);
}
