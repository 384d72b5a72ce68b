import type { EngineInstall, PlatformInfo } from "../shared/detector.ts";
import { type Cgroup, findCgroup } from "./probe-cgroup.ts";
import { type MachineEffects, thisMachine } from "./probe-effects.ts";
import { findGpus, findNvidiaSmi, findRocmSmi } from "./probe-gpus.ts";
import { findEngines } from "./probe-installs.ts";

export interface ProbeOptions {
  /** How the machine is read; this one when left out. */
  readonly effects?: MachineEffects;
  /** Also start Python where the engines it may have wouldn't be chosen: for `doctor`. */
  readonly isThorough?: boolean;
  /** For each tool that is asked; a tool that takes longer counts as not there. */
  readonly timeoutMs?: number;
}

/**
 * The machine as it is now. Reads files, and runs only tools that are there, at the same time: a few milliseconds on
 * a machine without GPU tools. Never throws: what can't be read is left out, or taken as the machine's own.
 */
export async function getPlatformInfo(options: ProbeOptions = {}): Promise<PlatformInfo> {
  const { effects = thisMachine(process.env), isThorough = false, timeoutMs = 2000 } = options;
  const system = systemOf(effects.platform);
  const { model, count, available } = effects.cpus();
  // An x86 Node translated by Rosetta says x64, and "VirtualApple".
  const isAppleSilicon = system === "darwin" && (effects.arch === "arm64" || model.includes("Apple"));
  const cpuModel = model.trim() || cpuName(effects) || "unknown CPU";
  const cgroup = system === "linux" ? findCgroup(effects.readText) : undefined;
  const memory = readMemory(effects, cgroup);
  const [gpus, engines] = await Promise.all([
    findGpus(effects, { isAppleSilicon, cpuModel, memoryBytes: memory.totalBytes }, timeoutMs),
    findEngines(effects, worthAsking(effects, isAppleSilicon, isThorough), import.meta.dirname, timeoutMs),
  ]);
  return {
    system,
    machine: isAppleSilicon ? "arm64" : machineOf(effects.arch),
    wsl: system === "linux" && /microsoft/i.test(effects.readText("/proc/version") ?? ""),
    cpuModel,
    cores: count,
    cpuBudget: Math.min(affinity(effects) ?? available, cgroup?.cpus() ?? Number.POSITIVE_INFINITY),
    memoryBytes: memory.totalBytes,
    memoryLimitBytes: memory.limitBytes,
    memoryAvailableBytes: memory.availableBytes,
    gpus,
    engines,
  };
}

export interface MemoryReading {
  readonly totalBytes: number;
  readonly limitBytes: number;
  readonly availableBytes: number;
}

/** Memory of the machine, and what of it this process may have. */
export function readMemory(effects: MachineEffects, cgroup: Cgroup | undefined): MemoryReading {
  const { totalBytes, freeBytes } = effects.memory();
  const machineAvailable = memAvailable(effects) ?? freeBytes;
  const { limitBytes = totalBytes, availableBytes = machineAvailable } = cgroup?.memory() ?? {};
  return {
    totalBytes,
    limitBytes: Math.min(totalBytes, limitBytes),
    availableBytes: Math.min(machineAvailable, availableBytes),
  };
}

function systemOf(platform: string): PlatformInfo["system"] {
  switch (platform) {
    case "darwin":
      return "darwin";
    case "win32":
      return "windows";
    default:
      return "linux"; // Other Unixes too: what Linux alone has, they are found not to have.
  }
}

function machineOf(arch: string): PlatformInfo["machine"] {
  switch (arch) {
    case "x64":
      return "x86_64";
    case "arm64":
      return "arm64";
    default:
      return "other";
  }
}

/** Engines that would be chosen if Python had them. */
function worthAsking(
  effects: MachineEffects,
  isAppleSilicon: boolean,
  isThorough: boolean,
): readonly EngineInstall["engine"][] {
  if (isThorough) return ["vllm", "mlx"];
  if (isAppleSilicon) return ["mlx"];
  const hasGpuTools = findNvidiaSmi(effects) !== undefined || findRocmSmi(effects) !== undefined;
  return effects.platform === "linux" && hasGpuTools ? ["vllm"] : [];
}

/** Node knows no model names on Linux on ARM. */
function cpuName(effects: MachineEffects): string | undefined {
  const text = effects.readText("/proc/cpuinfo") ?? "";
  return /^(?:model name|Hardware|Model)\s*:\s*(.+)$/m.exec(text)?.[1]?.trim();
}

/** CPUs this process may run on, from a list such as `0-3,8`. */
function affinity(effects: MachineEffects): number | undefined {
  const status = effects.platform === "linux" ? effects.readText("/proc/self/status") : undefined;
  const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(status ?? "")?.[1];
  if (list === undefined) return undefined;
  return list.split(",").reduce((count, range) => {
    const [first = 0, last = first] = range.split("-").map(Number);
    return count + last - first + 1;
  }, 0);
}

/** In bytes: what the kernel could hand out, page cache included. */
function memAvailable(effects: MachineEffects): number | undefined {
  const text = effects.platform === "linux" ? effects.readText("/proc/meminfo") : undefined;
  const kib = /^MemAvailable:\s*(\d+) kB$/m.exec(text ?? "")?.[1];
  return kib === undefined ? undefined : Number(kib) * 1024;
}
