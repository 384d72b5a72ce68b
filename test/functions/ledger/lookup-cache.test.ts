import { describe, expect, it } from "vitest";
import { createLookupCache, FOUND_MS, NOT_FOUND_MS } from "../../../functions/ledger/lookup-cache.ts";
import { gate } from "../../harness/wire.ts";

function cacheOf(values: Map<string, number>) {
  const asked: string[] = [];
  const clock = { now: 0 };
  const find = async (id: string) => {
    asked.push(id);
    return values.get(id);
  };
  return { asked, clock, cache: createLookupCache(find, () => clock.now) };
}

describe("a look-up's cache", () => {
  it("asks once while an answer is fresh, and again after", async () => {
    const values = new Map([["a", 1]]);
    const { asked, clock, cache } = cacheOf(values);
    expect(await cache.get("a")).toBe(1);
    values.set("a", 2);
    clock.now = FOUND_MS - 1;
    expect(await cache.get("a")).toBe(1);
    expect(asked).toEqual(["a"]);
    clock.now = FOUND_MS;
    expect(await cache.get("a")).toBe(2);
  });

  it("goes by what isn't there for a shorter time", async () => {
    const values = new Map<string, number>();
    const { clock, cache } = cacheOf(values);
    expect(await cache.get("new")).toBeUndefined();
    values.set("new", 1);
    clock.now = NOT_FOUND_MS - 1;
    expect(await cache.get("new")).toBeUndefined();
    clock.now = NOT_FOUND_MS;
    expect(await cache.get("new")).toBe(1);
  });

  it("keeps a bounded number, and no guess drives out what was found", async () => {
    const { asked, cache } = cacheOf(new Map([["a", 1]]));
    await cache.get("a");
    for (let i = 0; i < 2_001; i++) await cache.get(`guess-${i}`);
    asked.length = 0;
    await cache.get("a");
    await cache.get("guess-2000");
    expect(asked).toEqual([]);
    await cache.get("guess-0");
    expect(asked).toEqual(["guess-0"]);
  });

  it("does not keep an answer that was on its way when everything was forgotten", async () => {
    const answers = [1, 2];
    const { opened, open } = gate();
    const cache = createLookupCache(
      async () => {
        const answer = answers.shift();
        await opened;
        return answer;
      },
      () => 0,
    );
    const early = cache.get("a");
    cache.clear();
    open();
    expect(await early).toBe(1);
    expect(await cache.get("a")).toBe(2);
  });

  it("keeps no failure", async () => {
    let isDown = true;
    const cache = createLookupCache(
      async () => {
        if (isDown) throw new Error("down");
        return 1;
      },
      () => 0,
    );
    await expect(cache.get("a")).rejects.toThrow("down");
    isDown = false;
    expect(await cache.get("a")).toBe(1);
  });
});
