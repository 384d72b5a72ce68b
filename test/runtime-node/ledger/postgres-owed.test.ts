import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createOwed } from "../../../runtime-node/ledger/postgres-owed.ts";
import { unavailable } from "../../../shared/openai/errors.ts";
import { createLogSpy } from "../../harness/log-spy.ts";

describe("what is owed to a database that is away", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  const setUp = () => {
    const log = createLogSpy();
    const database = { isAway: true, written: 0 };
    const write = async () => {
      if (database.isAway) throw unavailable("away", 1000);
      database.written += 1;
      return "receipt";
    };
    return { log, database, write, owed: createOwed(log) };
  };

  it("is written when it is back, and the caller gets what was written", async () => {
    const { database, write, owed } = setUp();
    const asked = owed.write(write);
    await vi.advanceTimersByTimeAsync(2000);
    database.isAway = false;
    await vi.advanceTimersByTimeAsync(3000);
    expect(await asked).toBe("receipt");
    expect(database.written).toBe(1);
  });

  it("is written also when its caller could not wait so long", async () => {
    const { database, write, owed } = setUp();
    const asked = owed.write(write).catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(5000);
    expect(await asked).toMatchObject({ status: 503 });
    database.isAway = false;
    await vi.advanceTimersByTimeAsync(10_000);
    expect(database.written).toBe(1);
  });

  it("is written before the end, where it can be, and the log tells where it can't", async () => {
    const { database, write, owed, log } = setUp();
    const asked = owed.write(write);
    await vi.advanceTimersByTimeAsync(0);
    database.isAway = false;
    await owed.close();
    expect(await asked).toBe("receipt");
    database.isAway = true;
    void owed.write(write).catch(() => {});
    await vi.advanceTimersByTimeAsync(0);
    await owed.close();
    expect(log.text()).toMatch(/left to its lease.*waiting: 1/s);
  });

  it("is kept up to a number, so that memory is bounded", async () => {
    const { write, owed, log } = setUp();
    const asked = Array.from({ length: 10_001 }, () => owed.write(write).catch(() => {}));
    await vi.advanceTimersByTimeAsync(10);
    expect(log.text()).toMatch(/Too many requests wait/);
    await vi.advanceTimersByTimeAsync(5000);
    await Promise.all(asked);
  });

  it("is refused at once where the fault is its own", async () => {
    const { owed } = setUp();
    await expect(owed.write(() => Promise.reject(new Error("No hold for request r1")))).rejects.toThrow(
      /No hold/,
    );
  });
});
