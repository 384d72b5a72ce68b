import { describe, expect, it } from "vitest";
import { createRegistry, type Lease, type RegisteredModel } from "../../runtime-node/models/registry.ts";
import { decide, type ModelFacts } from "../../runtime-node/models/registry-plan.ts";
import { ApiError, unavailable } from "../../shared/openai/errors.ts";

const model = (id: string, state: ModelFacts["state"], more: Partial<ModelFacts> = {}): ModelFacts => ({
  id,
  state,
  inFlight: 0,
  lastUsed: 0,
  bytes: 10,
  ...more,
});
const NOTHING = { grant: [], load: [], unload: [], refuse: [] };

describe("what the registry decides", () => {
  const cases: readonly [string, ModelFacts[], string[], object][] = [
    ["a loaded model's requests go in", [model("a", "loaded")], ["a", "a"], { grant: [0, 1] }],
    ["a model is loaded once for all who wait", [model("a", "unloaded")], ["a", "a"], { load: ["a"] }],
    [
      "one that loads or unloads is waited for",
      [model("a", "loading"), model("b", "unloading")],
      ["a", "b"],
      {},
    ],
    ["there is room for two", [model("a", "loaded"), model("b", "unloaded")], ["b"], { load: ["b"] }],
    [
      "without room the longest unused goes first",
      [model("a", "loaded", { lastUsed: 2 }), model("b", "loaded", { lastUsed: 1 }), model("c", "unloaded")],
      ["c"],
      { unload: ["b"] },
    ],
    [
      "an idle one goes before a busy one",
      [
        model("a", "loaded", { lastUsed: 2 }),
        model("b", "loaded", { lastUsed: 1, inFlight: 1 }),
        model("c", "unloaded"),
      ],
      ["c"],
      { unload: ["a"] },
    ],
    [
      "a busy one is never unloaded, but lets nobody in behind who waits for its room",
      [model("a", "loaded", { inFlight: 1, bytes: 20 }), model("c", "unloaded")],
      ["a", "c", "a"],
      { grant: [0] },
    ],
    [
      "room that is being freed is waited for",
      [model("a", "loaded"), model("b", "unloading"), model("c", "unloaded")],
      ["c"],
      {},
    ],
    [
      "whoever came later does not take the room an earlier one waits for",
      [
        model("a", "loaded", { inFlight: 1 }),
        model("big", "unloaded", { bytes: 20 }),
        model("c", "unloaded"),
      ],
      ["big", "c"],
      {},
    ],
    [
      "what can never fit is refused",
      [model("a", "loaded"), model("huge", "unloaded", { bytes: 21 })],
      ["huge", "a"],
      { refuse: [0], grant: [1] },
    ],
    ["one that must go goes when idle", [model("a", "loaded", { mustGo: true })], [], { unload: ["a"] }],
    ["and not before", [model("a", "loaded", { mustGo: true, inFlight: 1 })], ["a"], {}],
  ];
  it.each(cases)("%s", (_name, models, queue, expected) => {
    expect(decide(models, queue, { memoryBytes: 20 })).toEqual({ ...NOTHING, ...expected });
  });

  it("counts models where their size is not known", () => {
    const models = [model("a", "loaded", { bytes: 0 }), model("b", "unloaded", { bytes: 0 })];
    expect(decide(models, ["b"], { maxLoaded: 1 })).toEqual({ ...NOTHING, unload: ["a"] });
    expect(decide(models, ["b"], { maxLoaded: 2 })).toEqual({ ...NOTHING, load: ["b"] });
    expect(decide(models, ["b"], {})).toEqual({ ...NOTHING, load: ["b"] });
  });
});

/** Models whose loads and unloads are counted; `fault`: what the next load rejects with. */
function fakes(...ids: string[]) {
  const loaded = new Set<string>();
  const seen = { most: 0, loads: 0, unloads: 0, fault: undefined as unknown };
  const make = (id: string, more: Partial<RegisteredModel> = {}): RegisteredModel => ({
    id,
    bytes: 1,
    load: async () => {
      await null;
      if (seen.fault !== undefined) throw seen.fault;
      seen.loads++;
      loaded.add(id);
      seen.most = Math.max(seen.most, loaded.size);
    },
    unload: async () => {
      await null;
      seen.unloads++;
      loaded.delete(id);
    },
    ...more,
  });
  return { loaded, seen, make, all: ids.map((id) => make(id)) };
}

describe("the registry", () => {
  it("loads once for all who ask at the same time, and counts them", async () => {
    const { all, seen } = fakes("a");
    const registry = createRegistry();
    for (const each of all) registry.add(each);
    const leases = await Promise.all(Array.from({ length: 20 }, () => registry.acquire("a")));
    expect(seen.loads).toBe(1);
    expect(registry.models()[0]).toMatchObject({ state: "loaded", inFlight: 20 });
    for (const lease of leases) lease.release();
    leases[0]?.release();
    expect(registry.models()[0]).toMatchObject({ inFlight: 0 });
  });

  it("switches between two models 50 times under load: nobody is lost, nothing is unloaded in flight", async () => {
    const { all, seen, loaded } = fakes("a", "b");
    const registry = createRegistry({ memoryBytes: 1 });
    for (const each of all) registry.add(each);
    let served = 0;
    const request = async (id: string) => {
      const lease = await registry.acquire(id);
      for (let turn = 0; turn < 3; turn++) {
        expect(loaded.has(id)).toBe(true);
        await null;
      }
      lease.release();
      served++;
    };
    const work: Promise<void>[] = [];
    for (let i = 0; i < 100; i++) {
      for (let j = 0; j < 4; j++) work.push(request(i % 2 === 0 ? "a" : "b"));
      // The next model's come when these have begun: each turn is a switch.
      await work.at(-1);
    }
    await Promise.all(work);
    expect(served).toBe(400);
    expect(seen.most).toBe(1);
    expect(seen.loads).toBe(100);
    await registry.close();
    expect(loaded.size).toBe(0);
  });

  it("lets a waiting model in although another one is asked for again and again", async () => {
    const { all } = fakes("a", "b");
    const registry = createRegistry({ maxLoaded: 1 });
    for (const each of all) registry.add(each);
    let busy: Lease = await registry.acquire("a");
    let isIn = false;
    const waiting = registry.acquire("b").then((lease) => {
      isIn = true;
      lease.release();
    });
    for (let i = 0; i < 50 && !isIn; i++) {
      const next = registry.acquire("a");
      busy.release();
      busy = await next;
    }
    expect(isIn).toBe(true);
    await waiting;
  });

  it("refuses with 429 when too many wait, and forgets who leaves", async () => {
    const registry = createRegistry({ queueLimit: 1 });
    registry.add(fakes().make("a", { load: () => new Promise(() => {}) }));
    const abort = new AbortController();
    const first = registry.acquire("a", abort.signal);
    await expect(registry.acquire("a")).rejects.toMatchObject({ status: 429 });
    abort.abort(new Error("the client left"));
    await expect(first).rejects.toThrow("the client left");
    expect(registry.queued()).toBe(0);
    await expect(registry.acquire("nobody")).rejects.toMatchObject({ status: 404 });
  });

  it("tells everyone who waits why a load failed, and tries again for the next", async () => {
    const { all, seen } = fakes("a");
    const registry = createRegistry();
    for (const each of all) registry.add(each);
    seen.fault = unavailable("It can't start.", 1000);
    const both = await Promise.allSettled([registry.acquire("a"), registry.acquire("a")]);
    for (const each of both) expect(each).toMatchObject({ status: "rejected", reason: { status: 503 } });
    seen.fault = undefined;
    (await registry.acquire("a")).release();
  });

  it("unloads what was idle for its ttl, and nothing in flight", async () => {
    const timers: { ms: number; work: () => void }[] = [];
    const { make, loaded } = fakes();
    const registry = createRegistry({
      after: (ms, work) => {
        const timer = { ms, work };
        timers.push(timer);
        return () => void timers.splice(timers.indexOf(timer), timers.includes(timer) ? 1 : 0);
      },
    });
    registry.add(make("a", { ttlMs: 500 }));
    const lease = await registry.acquire("a");
    expect(timers).toEqual([]);
    lease.release();
    expect(timers).toMatchObject([{ ms: 500 }]);
    const again = await registry.acquire("a");
    expect(timers).toEqual([]);
    again.release();
    timers[0]?.work();
    await registry.unload("a");
    expect(loaded.size).toBe(0);
    (await registry.acquire("a")).release();
    expect(loaded.size).toBe(1);
  });

  it("unloads by hand once nothing is in flight; who comes meanwhile waits for the next load", async () => {
    const { all, seen } = fakes("a");
    const registry = createRegistry();
    for (const each of all) registry.add(each);
    const lease = await registry.acquire("a");
    const unloaded = registry.unload("a");
    const next = registry.acquire("a");
    expect(seen.unloads).toBe(0);
    lease.release();
    await unloaded;
    expect(seen.unloads).toBe(1);
    (await next).release();
    expect(seen.loads).toBe(2);
    await registry.unload("a");
    await registry.unload("a");
  });

  it("has unloaded what could not be loaded: nobody waits for it for ever, and the next load stays", async () => {
    const { make, seen, loaded } = fakes();
    const registry = createRegistry();
    const fails = Promise.withResolvers<void>();
    let first: Promise<void> | undefined = fails.promise;
    const { load } = make("a");
    registry.add(
      make("a", {
        load: () => {
          const now = first ?? load();
          first = undefined;
          return now;
        },
      }),
    );
    const waiting = registry.acquire("a");
    const unloaded = registry.unload("a");
    fails.reject(unavailable("It can't start.", 1000));
    await expect(waiting).rejects.toMatchObject({ status: 503 });
    await unloaded;
    (await registry.acquire("a")).release();
    await null;
    expect([...loaded]).toEqual(["a"]);
    expect(registry.models()[0]).toMatchObject({ state: "loaded", mustGo: false });
    expect(seen.loads).toBe(1);
  });

  it("refuses who waits when it closes", async () => {
    const registry = createRegistry();
    registry.add(fakes().make("a", { load: () => new Promise(() => {}) }));
    const waiting = registry.acquire("a");
    await registry.close();
    await expect(waiting).rejects.toBeInstanceOf(ApiError);
    await expect(registry.acquire("a")).rejects.toMatchObject({ status: 503 });
  });
});
