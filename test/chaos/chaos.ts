import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { idempotentId } from "../../functions/idempotency.ts";
import type { Receipt } from "../../shared/ledger.ts";
import type { Store } from "../../shared/store.ts";
import { judge, type Verdict } from "./checks.ts";
import { runStream, type Seen } from "./client.ts";
import { startCountingUpstream } from "./counting-upstream.ts";
import { planStreams } from "./plan.ts";
import type { OpenSite } from "./site.ts";

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

/** Streams against a real server that is killed on the way, then every receipt against the backend's count. */
export async function runChaos(openSite: OpenSite, options: ChaosOptions): Promise<ChaosReport> {
  const plans = planStreams(options.streams, options.seed);
  const fates = new Map(plans.map(({ name, fate }) => [name, fate]));
  const upstream = await startCountingUpstream((user) => {
    const fate = fates.get(user);
    if (fate === undefined) throw new Error(`${user} was not planned`);
    return fate;
  });
  const folder = mkdtempSync(join(tmpdir(), "sluice-chaos-"));
  const config = {
    keys: [KEY],
    accounts: [{ id: ACCOUNT, prepaid: true }],
    price: { prompt: 1, completion: 2 },
    backends: [{ id: "counting", url: upstream.url, models: ["counted"] }],
  };
  const site = await openSite(config, folder);
  await site.withStore((store) =>
    store.ledger.credit(ACCOUNT, { id: "start", amountNanoUsd: 1_000_000_000_000 }),
  );
  let server = await site.start();
  try {
    const seen = new Map<string, Seen>();
    let killed = 0;
    let restarting: Promise<void> | undefined;
    const restart = async (): Promise<void> => {
      await server.kill();
      server = await site.start();
      restarting = undefined;
    };
    const remaining = plans.values();
    const client = async (): Promise<void> => {
      for (const plan of remaining) {
        for (let isSent = false; !isSent; ) {
          await restarting;
          try {
            seen.set(plan.name, await runStream(server.baseURL, KEY.key, plan));
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
    await server.stop();

    const { receipts, violations } = await site.withStore(async (store) => {
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
    await server.kill();
    await upstream.close();
    rmSync(folder, { recursive: true, force: true });
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
