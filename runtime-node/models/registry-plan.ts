/** Which models to load, to unload and to let requests into. Pure: `registry.ts` does what is decided here. */

export interface RegistryLimits {
  /** Memory for all models together, in bytes; undefined: no limit. */
  readonly memoryBytes?: number | undefined;
  /** Models loaded at the same time; undefined: no limit. */
  readonly maxLoaded?: number | undefined;
}

export interface ModelFacts {
  readonly id: string;
  readonly state: "unloaded" | "loading" | "loaded" | "unloading";
  readonly inFlight: number;
  /** When its last request ended or began, on a clock that never runs backwards, in ms. */
  readonly lastUsed: number;
  /** What it takes when loaded; 0 where that is not known. */
  readonly bytes: number;
  /** It is to go as soon as nothing is in flight. */
  readonly mustGo?: boolean | undefined;
}

export interface Decision {
  /** Places in the queue of those who may go ahead. */
  readonly grant: readonly number[];
  readonly load: readonly string[];
  /** Nothing is in flight on these. */
  readonly unload: readonly string[];
  /** Places in the queue of those whose model can never fit. */
  readonly refuse: readonly number[];
}

/**
 * First come, first served. `queue` names the models that requests wait for, the oldest first. A request whose model
 * is not loaded takes the room of the models that were used the longest ago, idle ones before busy ones; a busy one
 * lets nobody else in until it is idle and has gone. So a busy model can't keep another one out for ever.
 */
export function decide(
  models: readonly ModelFacts[],
  queue: readonly string[],
  limits: RegistryLimits,
): Decision {
  const byId = new Map(models.map((model) => [model.id, model]));
  const held = models.filter(({ state }) => state !== "unloaded");
  const room = roomOf(limits);
  for (const { bytes } of held) room.take(bytes);
  const inFlight = new Map(models.map((model) => [model.id, model.inFlight]));
  const draining = new Set(models.filter(({ mustGo }) => mustGo).map(({ id }) => id));
  const grant: number[] = [];
  const refuse: number[] = [];
  const load = new Set<string>();
  let isBlocked = false;

  for (const [place, id] of queue.entries()) {
    const model = byId.get(id);
    if (model === undefined) continue;
    if (model.state === "loaded") {
      if (draining.has(id)) continue;
      grant.push(place);
      inFlight.set(id, (inFlight.get(id) ?? 0) + 1);
      continue;
    }
    if (model.state !== "unloaded" || load.has(id)) continue;
    if (!roomOf(limits).has(model.bytes)) refuse.push(place);
    // Whoever came later must not take the room that an earlier one waits for.
    else if (isBlocked) continue;
    else if (room.has(model.bytes)) {
      room.take(model.bytes);
      load.add(id);
    } else {
      isBlocked = true;
      for (const victim of victims(held, model, room, inFlight)) draining.add(victim);
    }
  }
  const unload = held.filter(
    ({ id, state }) => state === "loaded" && draining.has(id) && inFlight.get(id) === 0,
  );
  return { grant, load: [...load], unload: unload.map(({ id }) => id), refuse };
}

/** The models to free for `target`, the longest unused first and idle ones before busy ones. */
function victims(
  held: readonly ModelFacts[],
  target: ModelFacts,
  room: Room,
  inFlight: ReadonlyMap<string, number>,
): readonly string[] {
  const isBusy = ({ id }: ModelFacts) => (inFlight.get(id) ?? 0) > 0;
  // What is going already makes room by itself.
  for (const { state, bytes } of held) if (state === "unloading") room.free(bytes);
  const order = held
    .filter(({ state }) => state === "loaded")
    .sort((a, b) => Number(isBusy(a)) - Number(isBusy(b)) || a.lastUsed - b.lastUsed);
  const chosen: string[] = [];
  for (const { id, bytes } of order) {
    if (room.has(target.bytes)) break;
    room.free(bytes);
    chosen.push(id);
  }
  return chosen;
}

interface Room {
  has(bytes: number): boolean;
  take(bytes: number): void;
  free(bytes: number): void;
}

function roomOf({
  memoryBytes = Number.POSITIVE_INFINITY,
  maxLoaded = Number.POSITIVE_INFINITY,
}: RegistryLimits): Room {
  let bytesLeft = memoryBytes;
  let placesLeft = maxLoaded;
  return {
    has: (bytes) => placesLeft >= 1 && bytes <= bytesLeft,
    take: (bytes) => {
      bytesLeft -= bytes;
      placesLeft--;
    },
    free: (bytes) => {
      bytesLeft += bytes;
      placesLeft++;
    },
  };
}
