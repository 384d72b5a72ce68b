import { writeFile } from "node:fs/promises";
import type { Command } from "commander";
import { createMonitor, type Monitor } from "../../runtime-node/monitor.ts";
import { InputError } from "../exit.ts";
import { growthLine, type MonitorExport, memoryBaseline, memoryGrowth, sampleLine } from "../monitor.ts";
import { durationMs, integer } from "./flags.ts";

interface MonitorFlags {
  readonly pid?: number;
  /** ms. */
  readonly time?: number;
  readonly warmup: number;
  readonly average: number;
  readonly out?: string;
  readonly json?: boolean;
}

const SECOND_MS = 1000;
/** Where the output is no terminal, lines stay: one in so many seconds. */
const PLAIN_EVERY_SECONDS = 10;

export function configureMonitor(command: Command): void {
  command
    .option("--pid <pid>", "also this process with all it started; exit 1 when its memory grows", integer(1))
    .option("--time <duration>", "how long, such as 90s or 5m (default: until Ctrl-C)", durationMs)
    .option(
      "--warmup <duration>",
      "until what the process took counts as its baseline",
      durationMs,
      10 * SECOND_MS,
    )
    .option("--average <minutes>", "averages over the last so many minutes, 5 at the most", integer(1, 5), 5)
    .option("--out <file>", "write the samples, averages and the memory check there, as JSON")
    .option("--json", "print the same JSON to stdout at the end, and nothing else there")
    .action(monitor);
}

async function monitor(flags: MonitorFlags): Promise<void> {
  const sampler = createMonitor(flags.pid === undefined ? {} : { pid: flags.pid });
  if (flags.pid !== undefined && (await sampler.current()).rssBytes === null)
    throw new InputError(`no process has the id ${flags.pid}; see ps, or leave --pid out`);
  let baseline: number | undefined;
  try {
    baseline = await watch(sampler, flags);
  } finally {
    sampler.stop();
  }
  const report = exportOf(sampler, flags, baseline);
  const text = `${JSON.stringify(report, null, 2)}\n`;
  if (flags.out !== undefined) await writeFile(flags.out, text);
  if (flags.json === true) process.stdout.write(text);
  else if (report.average !== null) {
    const { samples, minutes } = report.average;
    console.log(`mean of ${samples} samples in ${minutes} min: ${sampleLine(report.average, whose(flags))}`);
    if (report.memory !== null) console.log(growthLine(report.memory));
  }
  if (report.memory?.isStable === false) process.exitCode = 1;
}

/** Shows samples until the end; resolves with the memory's baseline, if there was time for one. */
async function watch(sampler: Monitor, flags: MonitorFlags): Promise<number | undefined> {
  const { pid, time = Number.POSITIVE_INFINITY, warmup } = flags;
  const startedAt = Date.now();
  const { promise: stopped, resolve: stop } = Promise.withResolvers<void>();
  process.once("SIGINT", stop).once("SIGTERM", stop);
  let baseline: number | undefined;
  let seconds = 0;
  const show = async () => {
    const sample = await sampler.current();
    const isWarm = Date.now() - startedAt > warmup;
    if (pid !== undefined && isWarm) baseline ??= memoryBaseline(sampler.history(), startedAt + warmup);
    if (flags.json !== true) print(sampleLine(sample, whose(flags)), seconds++);
    if (pid !== undefined && sample.rssBytes === null) {
      console.error(`process ${pid} has ended`);
      stop();
    }
    if (Date.now() - startedAt >= time) stop();
  };
  const timer = setInterval(() => void show(), SECOND_MS);
  await stopped;
  clearInterval(timer);
  process.off("SIGINT", stop).off("SIGTERM", stop);
  if (process.stdout.isTTY && flags.json !== true) process.stdout.write("\n");
  return baseline;
}

function print(line: string, second: number): void {
  if (process.stdout.isTTY) process.stdout.write(`\r\x1b[K${line.slice(0, process.stdout.columns - 1)}`);
  else if (second % PLAIN_EVERY_SECONDS === 0) console.log(line);
}

function exportOf(sampler: Monitor, flags: MonitorFlags, baseline: number | undefined): MonitorExport {
  const average = sampler.average(flags.average);
  const samples = sampler.history();
  return {
    exportedAt: new Date().toISOString(),
    pid: flags.pid ?? process.pid,
    average: average === undefined ? null : { minutes: flags.average, ...average },
    memory: baseline === undefined ? null : (memoryGrowth(baseline, samples) ?? null),
    samples,
  };
}

function whose({ pid }: MonitorFlags): string {
  return pid === undefined ? "this process" : `process ${pid}`;
}
