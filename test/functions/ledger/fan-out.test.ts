import { describe, expect, it } from "vitest";
import { forEachAtOnce } from "../../../functions/ledger/fan-out.ts";
import { gate } from "../../harness/wire.ts";

async function* count(to: number): AsyncGenerator<number, void, void> {
  for (let i = 0; i < to; i++) yield i;
}

describe("asking many", () => {
  it("asks each once, so many at the same time and no more", async () => {
    const seen: number[] = [];
    let running = 0;
    let most = 0;
    const full = gate();
    await forEachAtOnce(count(20), 3, async (i) => {
      running++;
      most = Math.max(most, running);
      if (running === 3) full.open();
      await full.opened;
      seen.push(i);
      running--;
    });
    expect(seen.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i));
    expect(most).toBe(3);
  });

  it("ends at the first failure, and asks no more", async () => {
    const seen: number[] = [];
    const asking = forEachAtOnce(count(100), 2, async (i) => {
      seen.push(i);
      if (i === 4) throw new Error("four");
    });
    await expect(asking).rejects.toThrow("four");
    expect(seen.length).toBeLessThan(10);
  });
});
