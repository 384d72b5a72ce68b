import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from "node:child_process";
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createSqliteStore } from "../../../runtime-node/ledger/sqlite.ts";
import { ApiError } from "../../../shared/openai/errors.ts";
import type { Store } from "../../../shared/store.ts";
import { CREDIT, completed, holdOf, LEASE_MS, R1, usage } from "../../contracts/ledger-fixtures.ts";
import { createLogSpy, type LogSpy } from "../../harness/log-spy.ts";

let folder: string;
let path: string;
let log: LogSpy;
const ends: (() => unknown)[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sluice-sqlite-"));
  path = join(folder, "data", "ledger.db");
  log = createLogSpy();
});
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
  rmSync(folder, { recursive: true, force: true });
});

function open(at = path): Store {
  const store = createSqliteStore({ path: at, now: Date.now, log });
  ends.push(() => store.close());
  return store;
}

/** What a client is told while the file can't be used. */
async function refusalOf(call: Promise<unknown>): Promise<ApiError> {
  const thrown = await call.catch((error: unknown) => error);
  if (!(thrown instanceof ApiError)) throw new Error("It was not refused", { cause: thrown });
  expect(thrown.status).toBe(503);
  expect(thrown.message).not.toContain(folder);
  return thrown;
}

/** Another process; ended with the test. */
function start(file: string, ...args: readonly string[]) {
  const child = spawn(process.execPath, [fileURLToPath(new URL(file, import.meta.url)), ...args]);
  child.stderr.pipe(process.stderr);
  ends.push(() => child.kill("SIGKILL"));
  return child;
}

async function* linesOf(child: ChildProcessWithoutNullStreams): AsyncGenerator<string> {
  yield* createInterface({ input: child.stdout });
}

describe("a ledger's file", () => {
  it("is made with its folder, for nobody else to read", async () => {
    await open().ledger.hold(holdOf({ isPrepaid: false }));
    for (const file of [path, `${path}-wal`]) expect(statSync(file).mode & 0o077).toBe(0);
  });

  it("that is no database stops the start, with its path", () => {
    mkdirSync(join(folder, "data"));
    writeFileSync(
      path,
      "no database at all, but long enough to have a header of one hundred bytes".repeat(9),
    );
    expect(() => open()).toThrow(path);
  });

  it("of a later version stops the start", async () => {
    await open().close();
    const database = new DatabaseSync(path);
    database.exec("UPDATE sluice_version SET version = 99");
    database.close();
    expect(() => open()).toThrow(/later version.*99/);
  });

  it("keeps what a call has written when another one of the same turn fails", async () => {
    const { ledger, books } = open();
    await ledger.credit("ann", { id: "1", amountNanoUsd: CREDIT });
    const [first, missing, last] = await Promise.allSettled([
      ledger.hold(holdOf()),
      ledger.settle({ account: "ann", requestId: "nobody's" }, completed(usage(1, 1))),
      ledger.hold(holdOf({ requestId: "r2" })),
    ]);
    expect([first, missing, last].map(({ status }) => status)).toEqual([
      "fulfilled",
      "rejected",
      "fulfilled",
    ]);
    expect(await ledger.balance("ann")).toMatchObject({ heldNanoUsd: 20_000 });
    expect(await books.verify()).toEqual([]);
  });
});

describe("a file that another process writes", () => {
  const lock = () => {
    const database = new DatabaseSync(path);
    database.exec("BEGIN EXCLUSIVE");
    ends.push(() => database.isOpen && database.close());
    return database;
  };

  it("is waited for", async () => {
    const { ledger } = open();
    const other = lock();
    const held = ledger.hold(holdOf({ isPrepaid: false }));
    await new Promise(setImmediate);
    other.exec("COMMIT");
    expect(await held).toMatchObject({ ok: true });
  });

  it("for too long refuses new requests, and settles what was in flight once it is free", async () => {
    const { ledger, books } = open();
    await ledger.hold(holdOf({ isPrepaid: false }));
    const other = lock();
    const [refused] = await Promise.all([
      refusalOf(ledger.hold(holdOf({ requestId: "r2", isPrepaid: false }))),
      refusalOf(ledger.settle(R1, completed(usage(3, 2)))),
    ]);
    expect(refused.retryAfterMs).toBeGreaterThan(0);
    expect(await books.receipt(R1)).toBeUndefined();
    const isWritten = log.logged(/written again/);
    other.exec("COMMIT");
    await isWritten;
    expect(await books.receipt(R1)).toMatchObject({ outcome: "completed", costNanoUsd: 7000 });
    expect(await books.verify()).toEqual([]);
  });

  it("for longer than a lease doesn't end a stream that still runs", async () => {
    let now = Date.now();
    const store = createSqliteStore({ path, now: () => now, log });
    ends.push(() => store.close());
    const { ledger } = store;
    await ledger.hold(holdOf({ isPrepaid: false }));
    const other = lock();
    now += 10 * LEASE_MS;
    await refusalOf(ledger.checkpoint(R1, { usage: usage(3, 1), source: "engine" }));
    other.exec("COMMIT");
    expect(await ledger.sweep(now)).toBe(0);
    expect(await ledger.settle(R1, completed(usage(3, 2)))).toMatchObject({ outcome: "completed" });
  });

  it("can be closed: what could not be written is said, and nobody waits for ever", async () => {
    const store = createSqliteStore({ path, now: Date.now, log });
    await store.ledger.credit("ann", { id: "1", amountNanoUsd: CREDIT });
    lock();
    const held = store.ledger.hold(holdOf());
    const refused = expect(held).rejects.toThrow("closed");
    await store.close();
    await refused;
    expect(log.text()).toMatch(/closed while the ledger can't be written.*calls: 1/s);
  });

  it("is shared: no request is lost or charged twice, and no money is spent twice", async () => {
    const { ledger, books } = open();
    // Enough for 300 requests: 7000 each, and up to 16 holds of 10,000 at a time.
    await ledger.credit("ann", { id: "1", amountNanoUsd: 300 * 7000 });
    const children = ["one", "two"].map((name) => start("./sqlite-load.ts", path, name));
    const lines = children.map(linesOf);
    // Both at once: neither may have spent all before the other is there.
    await Promise.all(lines.map((of) => of.next()));
    for (const { stdin } of children) stdin.write("go\n");
    const receipts = await Promise.all(lines.map((of) => Array.fromAsync(of)));
    const { receipts: written } = await books.receipts({ limit: 1000 });
    expect(written.map(({ requestId }) => requestId).toSorted()).toEqual(receipts.flat().toSorted());
    expect(receipts.every((of) => of.length > 0)).toBe(true);
    expect(await ledger.balance("ann")).toMatchObject({
      heldNanoUsd: 0,
      spentNanoUsd: written.length * 7000,
    });
    expect(await books.verify()).toEqual([]);
  });
});

it("a process that is killed has lost no receipt which it gave, and its holds end as lost", async () => {
  const { ledger, books } = open();
  await ledger.credit("ann", { id: "1", amountNanoUsd: 10 ** 12 });
  const given: string[] = [];
  const child = start("./sqlite-load.ts", path, "killed");
  const lines = linesOf(child);
  await lines.next();
  child.stdin.write("go\n");
  for await (const line of lines) {
    given.push(line);
    if (given.length === 500) child.kill("SIGKILL");
  }
  expect(await books.verify()).toEqual([]);
  const inFlight = await ledger.sweep(Date.now() + 10 ** 6);
  const { receipts } = await books.receipts({ limit: 10_000 });
  const completedIds = new Set(
    receipts.flatMap(({ outcome, requestId }) => (outcome === "completed" ? [requestId] : [])),
  );
  expect(given.filter((id) => !completedIds.has(id))).toEqual([]);
  expect(receipts.filter(({ outcome }) => outcome === "lost")).toHaveLength(inFlight);
  expect(await ledger.balance("ann")).toMatchObject({ heldNanoUsd: 0 });
  expect(await books.verify()).toEqual([]);
});

describe("a disk that is full", () => {
  const mounted = mountDisk();
  if (mounted === undefined) console.log("A full disk is not tested: this user can't mount one.");
  mounted?.unmount();

  it.skipIf(mounted === undefined)("or is read-only stops the start, with its path", () => {
    const disk = mountDisk(",ro");
    if (disk === undefined) throw new Error("The disk can't be mounted any more");
    ends.push(() => disk.unmount());
    expect(() => open(join(disk.path, "ledger.db"))).toThrow(disk.path);
  });

  it.skipIf(mounted === undefined)(
    "refuses new requests, loses nothing, and goes on when there is room",
    async () => {
      const disk = mountDisk();
      if (disk === undefined) throw new Error("The disk can't be mounted any more");
      ends.push(() => disk.unmount());
      const { ledger, books } = open(join(disk.path, "ledger.db"));
      await ledger.hold(holdOf({ isPrepaid: false }));
      const filler = join(disk.path, "filler");
      expect(() => writeFileSync(filler, new Uint8Array(4 << 20))).toThrow("ENOSPC");
      const admitted: string[] = [];
      // What SQLite has room for already may still be used.
      const refused = await (async () => {
        for (let i = 0; i < 5000; i++) {
          const hold = holdOf({ requestId: `full-${i}`, isPrepaid: false });
          const result = await ledger.hold(hold).catch((error: unknown) => error);
          if (result instanceof Error) return await refusalOf(Promise.reject(result));
          admitted.push(hold.requestId);
        }
        throw new Error("The disk was never full");
      })();
      expect(refused.retryAfterMs).toBeGreaterThan(0);
      await refusalOf(ledger.settle(R1, completed(usage(3, 2))));
      const isWritten = log.logged(/written again/);
      rmSync(filler);
      await isWritten;
      expect(await books.receipt(R1)).toMatchObject({ outcome: "completed", costNanoUsd: 7000 });
      expect(await ledger.hold(holdOf({ requestId: "after", isPrepaid: false }))).toMatchObject({ ok: true });
      expect(await ledger.balance("ann")).toMatchObject({ heldNanoUsd: (admitted.length + 1) * 10_000 });
      expect(await books.verify()).toEqual([]);
    },
  );
});

/** A disk of 2 MB, where this user may have one. */
function mountDisk(more = "") {
  const at = mkdtempSync(join(tmpdir(), "sluice-disk-"));
  const unmount = (): void => {
    execFileSync("umount", [at]);
    rmSync(at, { recursive: true });
  };
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=2m${more}`, "tmpfs", at], { stdio: "ignore" });
    return { path: at, unmount };
  } catch {
    rmSync(at, { recursive: true }); // Only some users may: whoever asks says so.
    return undefined;
  }
}

describe("verify", () => {
  const tampered: readonly (readonly [string, string, RegExp])[] = [
    ["a balance", "UPDATE accounts SET spent = spent + 1", /Account ann says spent 7001; .* 7000/],
    ["a credit", "DELETE FROM credits", /Account ann says credited 1000000; .* 0/],
    ["a scope", "UPDATE scopes SET held = held + 1", /Scope account of ann says held 10001; .* 10000/],
    ["a month", "UPDATE scopes SET month_spent = 0", /Scope account of ann says month spent 0; .* 7000/],
    ["a count of holds", "UPDATE scopes SET running = 5", /Scope account of ann says running 5; .* 1/],
    ["a price", "UPDATE receipts SET prompt_pico = 2000000", /Receipt r1 charges 7000 .* costs 10000/],
    ["a receipt that is gone", "DELETE FROM receipts", /Account ann says spent 7000; .* 0/],
    [
      "a request of two accounts",
      "INSERT INTO holds SELECT 'bob', 'r1', key_id, route, model, prompt_pico, cached_pico, completion_pico, reasoning_pico, 0, tokens, is_prepaid, '[]', '[]', lease_ms, held_at, expires_at, usage FROM holds",
      /Request r1 is in 2 accounts/,
    ],
    ["a hold that was settled", "UPDATE holds SET request_id = 'r1'", /Request r1 .* is still held/],
    ["an overdrawn account", "UPDATE accounts SET credited = 0", /Account ann is prepaid and has -17000/],
    [
      "a delivery",
      "INSERT INTO deliveries VALUES ('w', 'ann', 'r9', 0, 1)",
      /request r9, which has no receipt/,
    ],
  ];
  it.each(tampered)("finds %s that was tampered with", async (_, statement, sentence) => {
    const { ledger, books } = open();
    const scopes = [{ name: "account", limits: {} }];
    await ledger.credit("ann", { id: "1", amountNanoUsd: CREDIT });
    await ledger.hold(holdOf({ scopes }));
    await ledger.settle(R1, completed(usage(3, 2)));
    await ledger.hold(holdOf({ requestId: "r2", scopes }));
    expect(await books.verify()).toEqual([]);
    const database = new DatabaseSync(path);
    database.exec(statement);
    database.close();
    expect(await books.verify()).toContainEqual(expect.stringMatching(sentence));
  });

  it("finds a file whose bytes were damaged", async () => {
    await writeSome();
    damage("receipts_by_time");
    expect(await open().books.verify()).toContainEqual(expect.stringContaining("damaged"));
  });
});

it("a damaged file refuses requests, and goes on once it was mended", async () => {
  await writeSome();
  const { ledger, books } = open();
  const mend = damage("receipts_by_request");
  await refusalOf(ledger.hold(holdOf({ requestId: "r2" })));
  await refusalOf(books.receipt(R1));
  mend();
  expect(await ledger.hold(holdOf({ requestId: "r2" }))).toMatchObject({ ok: true });
  expect(await books.receipt(R1)).toMatchObject({ costNanoUsd: 7000 });
});

async function writeSome(): Promise<void> {
  const store = open();
  await store.ledger.credit("ann", { id: "1", amountNanoUsd: CREDIT });
  await store.ledger.hold(holdOf());
  await store.ledger.settle(R1, completed(usage(3, 2)));
  await store.close();
}

/** Overwrites the first page of an index or table. Returns what puts it back. */
function damage(name: string): () => void {
  const database = new DatabaseSync(path, { readOnly: true });
  const at = database.prepare("SELECT rootpage FROM sqlite_schema WHERE name = ?").get(name)?.rootpage;
  const size = database.prepare("PRAGMA page_size").get()?.page_size;
  database.close();
  if (typeof at !== "number" || typeof size !== "number") throw new Error(`No page of ${name}`);
  const page = new Uint8Array(size);
  const file = openSync(path, "r+");
  readSync(file, page, 0, size, (at - 1) * size);
  writeSync(file, new Uint8Array(size).fill(0x5a), 0, size, (at - 1) * size);
  return () => {
    writeSync(file, page, 0, size, (at - 1) * size);
    closeSync(file);
  };
}

it("waits for what was asked before it closes", async () => {
  const store = createSqliteStore({ path, now: Date.now, log });
  const held = store.ledger.hold(holdOf({ isPrepaid: false }));
  await store.close();
  expect(await held).toMatchObject({ ok: true });
});
