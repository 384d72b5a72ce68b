import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { idempotentId } from "../../functions/idempotency.ts";
import { openStore } from "../../runtime-node/ledger/open-store.ts";
import { parseConfig } from "../../shared/config.ts";
import type { Receipt } from "../../shared/ledger.ts";
import type { Store } from "../../shared/store.ts";
import { type Sluice, startSluice } from "../harness/sluice.ts";
import { judge, type Verdict } from "./checks.ts";
import { runStream, type Seen } from "./client.ts";
import { startCountingUpstream } from "./counting-upstream.ts";
import { planStreams } from "./plan.ts";

export interface ChaosOptions {
  readonly streams: number;
  /** How often the server is killed with -9 on the way. */
  readonly kills: number;
  readonly concurrency: number;
  readonly seed: number;
  readonly onProgress?: (done: number) => void;
}

export interface ChaosReport extends Verdict {
  readonly statuses: Readonly<Record<string, number>>;
  /** What `ledger verify` says. */
  readonly violations: readonly string[];
  readonly kills: number;
}

const ACCOUNT = "chaos";
const KEY = { id: "chaos", key: "sk-slc-chaos-chaos-chaos", account: ACCOUNT };
/** Beyond the lease of every hold that a killed server left. */
const LATER_MS = 3_600_000;
const ignore = () => {};
const SILENT = { debug: ignore, info: ignore, warn: ignore, error: ignore };

/** Streams against a real server of the host that is killed on the way, then every receipt against the backend's count. */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const plans = planStreams(options.streams, options.seed);
  const fates = new Map(plans.map(({ name, fate }) => [name, fate]));
  const upstream = await startCountingUpstream((user) => {
    const fate = fates.get(user);
    if (fate === undefined) throw new Error(`${user} was not planned`);
    return fate;
  });
  const folder = mkdtempSync(join(tmpdir(), "sluice-chaos-"));
  const raw = {
    host: "127.0.0.1",
    port: await freePort(),
    keys: [KEY],
    accounts: [{ id: ACCOUNT, prepaid: true }],
    ledger: { path: join(folder, "ledger.db") },
    price: { prompt: 1, completion: 2 },
    backends: [{ id: "counting", url: upstream.url, models: ["counted"] }],
  };
  const file = join(folder, "sluice.yaml");
  writeFileSync(file, JSON.stringify(raw));
  await withStore(raw, (store) =>
    store.ledger.credit(ACCOUNT, { id: "start", amountNanoUsd: 1_000_000_000_000 }),
  );

  let server = await startSluice(["--config", file, "--port", String(raw.port)]);
  try {
    const seen = new Map<string, Seen>();
    let killed = 0;
    let restarting: Promise<void> | undefined;
    const restart = async (): Promise<void> => {
      server.child.kill("SIGKILL");
      await server.ended;
      server = await startSluice(["--config", file, "--port", String(raw.port)]);
      restarting = undefined;
    };
    const remaining = plans.values();
    const client = async (): Promise<void> => {
      for (const plan of remaining) {
        for (let isSent = false; !isSent; ) {
          await restarting;
          try {
            seen.set(plan.name, await runStream(`${server.url}/v1`, KEY.key, plan));
            isSent = true;
          } catch (error) {
            if (!isRefused(error)) {
              seen.set(plan.name, { status: "lost", isDone: false, usage: undefined });
              isSent = true;
            }
          }
        }
        options.onProgress?.(seen.size);
        const isDue = seen.size >= ((killed + 1) * options.streams) / (options.kills + 1);
        if (isDue && killed < options.kills && restarting === undefined) {
          killed++;
          restarting = restart();
        }
      }
    };
    await Promise.all(Array.from({ length: options.concurrency }, client));
    await restarting;
    await stop(server);

    const { receipts, violations } = await withStore(raw, async (store) => {
      await store.ledger.sweep(Date.now() + LATER_MS);
      return { receipts: await allReceipts(store), violations: await store.books.verify() };
    });
    const requests = new Map(
      await Promise.all(
        plans.map(async ({ name }) => {
          const id = await idempotentId(ACCOUNT, KEY.id, name);
          const saw: Seen = seen.get(name) ?? { status: "lost", isDone: false, usage: undefined };
          return [id, { produced: upstream.produced.get(name), seen: saw }] as const;
        }),
      ),
    );
    const statuses = Object.groupBy(seen.values(), ({ status }) => String(status));
    return {
      ...judge({ requests, receipts }),
      statuses: Object.fromEntries(
        Object.entries(statuses).map(([status, list]) => [status, list?.length ?? 0]),
      ),
      violations,
      kills: killed,
    };
  } finally {
    server.child.kill("SIGKILL");
    await server.ended;
    await upstream.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function stop(server: Sluice): Promise<void> {
  server.child.kill("SIGTERM");
  const code = await server.ended;
  if (code !== 0) throw new Error(`The server ended with ${code}: ${server.output()}`);
}

async function withStore<T>(raw: object, work: (store: Store) => Promise<T>): Promise<T> {
  const store = await openStore(parseConfig(raw, {}), SILENT);
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}

async function allReceipts({ books }: Store): Promise<readonly Receipt[]> {
  const receipts: Receipt[] = [];
  for (let after: string | undefined; ; ) {
    const page = await books.receipts({ limit: 1000, ...(after === undefined ? {} : { after }) });
    receipts.push(...page.receipts);
    if (page.next === null) return receipts;
    after = page.next;
  }
}

/** Nothing listened: the request was never sent. */
function isRefused(error: unknown): boolean {
  const { cause }: { cause?: unknown } = Object(error);
  return Object(cause).code === "ECONNREFUSED";
}

function freePort(): Promise<number> {
  const probe = createServer();
  return new Promise((resolve) => {
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}
