import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { createSqliteStore } from "../runtime-node/ledger/sqlite.ts";
import type { Hold, Settlement } from "../shared/ledger.ts";
import { toPrice } from "../shared/pricing.ts";
import type { Store } from "../shared/store.ts";
import { addedCpu } from "./bench-ledger-cpu.ts";
import { median } from "./median.ts";

/** Requests a second, settled, and what the ledger adds to the gateway's processor time: `npm run bench:ledger`. */

const REQUESTS = 20_000;
const ROUNDS = 5;
const GOAL_PER_SECOND = 10_000;
const GOAL_ADDED = 0.1;

const LIMITS = {
  requestsPerMinute: 1_000_000_000,
  tokensPerMinute: 1_000_000_000,
  concurrentRequests: 10_000,
  monthlyNanoUsd: Number.MAX_SAFE_INTEGER,
};
const HOLD: Omit<Hold, "requestId"> = {
  account: "acme",
  keyId: "key_1",
  route: "chat",
  model: "small",
  price: toPrice({ prompt: 1, completion: 2 }),
  amount: 1_000_000,
  tokens: 500,
  leaseMs: 60_000,
  isPrepaid: true,
  scopes: ["account", "key:key_1", "model:small", "key:key_1/model:small"].map((name) => ({
    name,
    limits: LIMITS,
  })),
};
const SETTLEMENT: Settlement = {
  usage: { promptTokens: 100, cachedTokens: 10, completionTokens: 50, reasoningTokens: 0 },
  source: "engine",
  outcome: "completed",
  backend: null,
  engine: "dummy",
  ttftMs: 12.5,
  durationMs: 200.25,
  isFree: false,
};

const folder = await mkdtemp(join(tmpdir(), "sluice-bench-"));
try {
  console.log(
    `${REQUESTS} requests, each held against 4 limited scopes and settled, medians of ${ROUNDS} rounds`,
  );
  console.log("at once   settled/s   bare inserts/s   ratio   CPU a request");
  let most = 0;
  for (const atOnce of [1, 16, 128]) {
    const rounds: { readonly ledger: Rate; readonly bare: Rate }[] = [];
    for (let i = 0; i < ROUNDS; i++) {
      // Taken in turns, so that whatever else this machine does falls on both.
      rounds.push({ ledger: await settleAll(atOnce), bare: await insertAll(atOnce) });
    }
    const perSecond = median(rounds.map(({ ledger }) => ledger.perSecond));
    most = Math.max(most, perSecond);
    const columns = [
      String(atOnce),
      perSecond.toFixed(0),
      median(rounds.map(({ bare }) => bare.perSecond)).toFixed(0),
      median(rounds.map(({ ledger, bare }) => ledger.perSecond / bare.perSecond)).toFixed(2),
      `${median(rounds.map(({ ledger }) => ledger.cpuUs)).toFixed(0)} us`,
    ];
    console.log(columns.map((column, i) => column.padStart([7, 11, 16, 7, 15][i] ?? 0)).join(" "));
  }
  console.log(
    `${most >= GOAL_PER_SECOND ? "ok" : "MISSED"}: ${most.toFixed(0)} settled requests a second (goal ${GOAL_PER_SECOND})`,
  );

  console.log(
    "\nprocessor time of the server for each request, with a ledger that does nothing and with SQLite",
  );
  const { stream, json } = await addedCpu(folder);
  for (const [kind, { withoutUs, withUs, added }] of Object.entries({ stream, json }))
    console.log(
      `${kind.padEnd(7)} ${withoutUs.toFixed(0)} us -> ${withUs.toFixed(0)} us, added ${(added * 100).toFixed(1)} % (median of pairs)`,
    );
  console.log(
    `${stream.added <= GOAL_ADDED ? "ok" : "MISSED"}: a stream of 64 tokens costs ${(stream.added * 100).toFixed(1)} % more (goal ${GOAL_ADDED * 100} %)`,
  );
} finally {
  await rm(folder, { recursive: true, force: true });
}

interface Rate {
  readonly perSecond: number;
  readonly cpuUs: number;
}

async function settleAll(atOnce: number): Promise<Rate> {
  const log = { debug: silent, info: silent, warn: silent, error: console.error };
  const path = join(folder, crypto.randomUUID(), "ledger.db");
  const store = createSqliteStore({ path, now: Date.now, log });
  try {
    await store.ledger.credit("acme", { id: "start", amountNanoUsd: Number.MAX_SAFE_INTEGER });
    const rate = await rateOf(atOnce, () => settleOne(store));
    const breaches = await store.books.verify();
    if (breaches.length > 0) throw new Error(breaches.join("\n"));
    return rate;
  } finally {
    await store.close();
  }
}

async function settleOne({ ledger }: Store): Promise<void> {
  const hold = { ...HOLD, requestId: crypto.randomUUID() };
  const held = await ledger.hold(hold);
  if (!held.ok) throw new Error(`refused: ${held.reason}`);
  await ledger.settle(hold, SETTLEMENT);
}

/** The least that any ledger must do: one row for each request, so many to a commit. */
async function insertAll(atOnce: number): Promise<Rate> {
  const database = new DatabaseSync(join(folder, crypto.randomUUID()));
  database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 8000");
  database.exec("CREATE TABLE receipts (id TEXT PRIMARY KEY, receipt TEXT NOT NULL)");
  const [begin, insert, commit] = ["BEGIN IMMEDIATE", "INSERT INTO receipts VALUES (?, ?)", "COMMIT"].map(
    (query) => database.prepare(query),
  );
  let waiting: (() => void)[] = [];
  const flush = (): void => {
    const batch = waiting;
    waiting = [];
    begin?.run();
    for (const _ of batch) insert?.run(crypto.randomUUID(), JSON.stringify(SETTLEMENT));
    commit?.run();
    for (const done of batch) done();
  };
  try {
    return await rateOf(atOnce, () => {
      if (waiting.length === 0) setImmediate(flush);
      return new Promise((resolve) => waiting.push(resolve));
    });
  } finally {
    database.close();
  }
}

async function rateOf(atOnce: number, once: () => Promise<void>): Promise<Rate> {
  let left = REQUESTS;
  const cpu = process.cpuUsage();
  const from = performance.now();
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      while (left-- > 0) await once();
    }),
  );
  const { user, system } = process.cpuUsage(cpu);
  return {
    perSecond: (REQUESTS * 1000) / (performance.now() - from),
    cpuUs: (user + system) / REQUESTS,
  };
}

function silent(): void {}
