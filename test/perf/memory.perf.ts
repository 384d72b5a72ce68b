import { setTimeout as sleep } from "node:timers/promises";
import { expect, it } from "vitest";
import { MAX_GROWTH_BYTES, memoryBaseline, memoryGrowth } from "../../loadtest/monitor.ts";
import { createMonitor } from "../../runtime-node/monitor.ts";
import { findTarget } from "./target.ts";

/** Streams at once: at first as many as take every sequence and its part of the KV cache, then fewer. */
const WARM_CLIENTS = 64;
const CLIENTS = 8;
/** Longer than a collection's saw, a minute here: its peak belongs to the baseline. */
const WARM_MS = 70_000;
const LOAD_MS = 30_000;
/** Long enough for the samples that the end is judged by. */
const REST_MS = 6000;
const GIB = 1024 ** 3;

const PROMPTS = ["你好", "请介绍一下人工智能", "写一个Python函数", "解释机器学习的概念", "今天天气怎么样？"];

it("grows by less than 100 MiB under load once it is warm", async (context) => {
  const target = await findTarget();
  const { pid } = target;
  if (pid === undefined) {
    context.task.meta.note = "the server's process is not known; name it with --pid";
    return context.skip(context.task.meta.note);
  }
  const monitor = createMonitor({ pid });
  try {
    await load(WARM_CLIENTS, WARM_MS);
    const baseline = memoryBaseline(monitor.history(), Date.now());
    if (baseline === undefined) throw new Error(`No memory was seen of process ${pid}`);
    await load(CLIENTS, LOAD_MS);
    // At rest: what it holds, not what it works with.
    await sleep(REST_MS);
    const growth = memoryGrowth(baseline, monitor.history());
    context.task.meta.figures = {
      memoryBaselineMiB: baseline / 1024 ** 2,
      memoryGrowthMiB: (growth?.growthBytes ?? Number.NaN) / 1024 ** 2,
    };
    expect(growth?.growthBytes).toBeLessThan(MAX_GROWTH_BYTES);
  } finally {
    monitor.stop();
  }

  async function load(clients: number, ms: number): Promise<void> {
    const until = performance.now() + ms;
    const client = async (n: number) => {
      for (let sent = n; performance.now() < until; sent++) {
        await target.chat(`${PROMPTS[sent % PROMPTS.length]} (${sent})`, 20 + ((sent * 7) % 80));
      }
    };
    await Promise.all(Array.from({ length: clients }, (_, n) => client(n)));
  }
});

it("has memory left on every GPU", async (context) => {
  const monitor = createMonitor();
  const { gpus } = await monitor.current();
  monitor.stop();
  if (gpus.length === 0) {
    context.task.meta.note = "this machine has no GPU whose memory can be read";
    return context.skip(context.task.meta.note);
  }
  const figures: Record<string, string> = {};
  for (const [index, { name, memoryUsedBytes, memoryTotalBytes }] of gpus.entries()) {
    if (memoryUsedBytes === null || memoryTotalBytes === null) continue;
    figures[`gpu${index}`] =
      `${name}: ${(memoryUsedBytes / GIB).toFixed(1)} of ${(memoryTotalBytes / GIB).toFixed(1)} GiB`;
    expect(memoryUsedBytes).toBeLessThan(memoryTotalBytes);
  }
  context.task.meta.figures = figures;
});
