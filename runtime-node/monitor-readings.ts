import { statfs } from "node:fs/promises";
import os from "node:os";
import { type ProcessLoad, type ProcessReading, processElsewhere, processOfProc } from "./monitor-process.ts";
import { readMemory } from "./probe.ts";
import { findCgroup } from "./probe-cgroup.ts";
import { type MachineEffects, thisMachine } from "./probe-effects.ts";
import { findNvidiaSmi } from "./probe-gpus.ts";

/** What a sample is made of. `quick` is asked every time, `slow` every tenth time and never twice at once. */
export interface Readings {
  quick(): QuickReading;
  slow(): Promise<SlowReading>;
}

export interface QuickReading {
  /** Since boot, summed over the CPUs; any unit. */
  readonly cpuBusy: number;
  readonly cpuTotal: number;
  /** Undefined when the process has ended, and where only `slow` can tell. */
  readonly process?: ProcessReading | undefined;
  readonly memoryAvailableBytes: number;
  readonly memoryLimitBytes: number;
  readonly network?: { readonly receivedBytes: number; readonly sentBytes: number } | undefined;
}

export interface SlowReading {
  readonly disk?: { readonly usedBytes: number; readonly totalBytes: number };
  readonly gpus?: readonly GpuSample[];
  /** Where `quick` can't tell. */
  readonly receivedBytesPerSecond?: number;
  readonly sentBytesPerSecond?: number;
  readonly memoryAvailableBytes?: number;
  readonly process?: ProcessLoad | undefined;
}

export interface GpuSample {
  readonly name: string;
  readonly utilizationPercent: number | null;
  readonly memoryUsedBytes: number | null;
  readonly memoryTotalBytes: number | null;
}

/**
 * This machine's figures. On Linux straight from /proc and statfs: systeminformation takes 45 ms to load there and
 * starts a process for disks (8-15 ms of CPU) and one for the network (3 ms), measured 2026-11-25. Elsewhere it is
 * what knows how. `pid`: whose process figures.
 */
export function hostReadings(
  effects: MachineEffects = thisMachine(process.env),
  diskPath: string = process.cwd(),
  pid: number = process.pid,
): Readings {
  const isLinux = effects.platform === "linux";
  const cgroup = isLinux ? findCgroup(effects.readText) : undefined;
  return {
    quick() {
      const memory = readMemory(effects, cgroup);
      return {
        ...(isLinux ? cpuTimesOfProc(effects.readText("/proc/stat") ?? "") : cpuTimesOfNode()),
        process:
          pid === process.pid ? thisProcess() : isLinux ? processOfProc(effects.readText, pid) : undefined,
        memoryAvailableBytes: memory.availableBytes,
        memoryLimitBytes: memory.limitBytes,
        network: isLinux ? networkOfProc(effects.readText("/proc/net/dev") ?? "") : undefined,
      };
    },
    async slow() {
      const [disk, gpus, elsewhere] = await Promise.all([
        diskOf(diskPath),
        gpuSamples(effects),
        isLinux ? {} : readingsElsewhere(effects, pid),
      ]);
      return { disk, gpus, ...elsewhere };
    },
  };
}

function thisProcess(): ProcessReading {
  const { user, system } = process.cpuUsage();
  return {
    cpuMs: (user + system) / 1000,
    uptimeMs: process.uptime() * 1000,
    rssBytes: process.memoryUsage.rss(),
  };
}

/** proc(5): user nice system idle iowait irq softirq steal, then guest times that user already has. */
function cpuTimesOfProc(stat: string): { readonly cpuBusy: number; readonly cpuTotal: number } {
  const [first = ""] = stat.split("\n", 1);
  const times = first.trim().split(/\s+/).slice(1, 9).map(Number);
  const cpuTotal = times.reduce((sum, time) => sum + time, 0);
  return { cpuBusy: cpuTotal - (times[3] ?? 0) - (times[4] ?? 0), cpuTotal };
}

function cpuTimesOfNode(): { readonly cpuBusy: number; readonly cpuTotal: number } {
  let cpuBusy = 0;
  let cpuTotal = 0;
  for (const { times } of os.cpus()) {
    const busy = times.user + times.nice + times.sys + times.irq;
    cpuBusy += busy;
    cpuTotal += busy + times.idle;
  }
  return { cpuBusy, cpuTotal };
}

/** All interfaces that lead out; what goes through a bridge or a tunnel to a container would count twice. */
function networkOfProc(text: string): { readonly receivedBytes: number; readonly sentBytes: number } {
  let receivedBytes = 0;
  let sentBytes = 0;
  for (const line of text.split("\n")) {
    const [, name, figures] = /^\s*([^\s:]+):\s*(.*)$/.exec(line) ?? [];
    if (
      name === undefined ||
      figures === undefined ||
      /^(lo$|veth|docker|br-|virbr|ifb|cali|flannel)/.test(name)
    )
      continue;
    const columns = figures.split(/\s+/).map(Number);
    receivedBytes += columns[0] ?? 0;
    sentBytes += columns[8] ?? 0;
  }
  return { receivedBytes, sentBytes };
}

async function diskOf(path: string): Promise<{ readonly usedBytes: number; readonly totalBytes: number }> {
  const { blocks, bfree, bsize } = await statfs(path);
  return { usedBytes: (blocks - bfree) * bsize, totalBytes: blocks * bsize };
}

async function gpuSamples(effects: MachineEffects): Promise<readonly GpuSample[]> {
  const command = findNvidiaSmi(effects);
  if (command === undefined) return [];
  const fields = "name,utilization.gpu,memory.used,memory.total";
  const result = await effects.run(command, [`--query-gpu=${fields}`, "--format=csv,noheader,nounits"], 5000);
  if (!result.ok) return [];
  return result.stdout.split("\n").flatMap((line): GpuSample[] => {
    const [name, utilization, used, total] = line.split(",").map((text) => text.trim());
    if (name === undefined || total === undefined) return [];
    return [
      {
        name,
        utilizationPercent: figure(utilization),
        memoryUsedBytes: figure(used, 1024 * 1024),
        memoryTotalBytes: figure(total, 1024 * 1024),
      },
    ];
  });
}

/** `[N/A]` is null. */
function figure(text: string | undefined, unit = 1): number | null {
  return text !== undefined && /^\d+(\.\d+)?$/.test(text) ? Number(text) * unit : null;
}

async function readingsElsewhere(effects: MachineEffects, pid: number): Promise<SlowReading> {
  const { networkStats, mem } = await import("systeminformation");
  const [interfaces, memory, load] = await Promise.all([
    networkStats(),
    // macOS counts as free only what is neither used nor cached; Windows tells rightly.
    effects.platform === "darwin" ? mem() : undefined,
    pid === process.pid ? undefined : processElsewhere(pid),
  ]);
  const sum = (rates: readonly (number | null)[]) =>
    rates.reduce<number>((total, rate) => total + Math.max(0, rate ?? 0), 0);
  return {
    receivedBytesPerSecond: sum(interfaces.map((one) => one.rx_sec)),
    sentBytesPerSecond: sum(interfaces.map((one) => one.tx_sec)),
    ...(memory === undefined ? {} : { memoryAvailableBytes: memory.available }),
    process: load,
  };
}
