import { z } from "zod";
import type { Gpu } from "../shared/detector.ts";
import { findCommand, type MachineEffects, parseJson } from "./probe-effects.ts";

const MIB = 1024 * 1024;

/** The command that knows NVIDIA's cards, or undefined. Services inside WSL don't have its directory on their PATH. */
export function findNvidiaSmi(effects: MachineEffects): string | undefined {
  return findCommand(effects, "nvidia-smi", ["/usr/lib/wsl/lib"]);
}

export function findRocmSmi(effects: MachineEffects): string | undefined {
  return findCommand(effects, "rocm-smi", ["/opt/rocm/bin"]);
}

/** The GPUs that a process started here can use. Runs only tools that are there, at the same time. */
export async function findGpus(
  effects: MachineEffects,
  machine: { readonly isAppleSilicon: boolean; readonly cpuModel: string; readonly memoryBytes: number },
  timeoutMs: number,
): Promise<readonly Gpu[]> {
  if (effects.platform === "darwin") {
    if (!machine.isAppleSilicon) return [];
    // The GPU is on the chip and shares the machine's memory: no need to wait for system_profiler.
    const name = `${machine.cpuModel} GPU`;
    return [{ vendor: "apple", name, memoryBytes: machine.memoryBytes, driver: "Metal" }];
  }
  const found = await Promise.all([nvidiaGpus(effects, timeoutMs), amdGpus(effects, timeoutMs)]);
  return found.flat();
}

const NVIDIA_FIELDS = ["index", "uuid", "name", "memory.total", "driver_version", "compute_cap"];

async function nvidiaGpus(effects: MachineEffects, timeoutMs: number): Promise<readonly Gpu[]> {
  const command = findNvidiaSmi(effects);
  if (command === undefined) return [];
  const query = [`--query-gpu=${NVIDIA_FIELDS.join(",")}`, "--format=csv,noheader,nounits"];
  const result = await effects.run(command, query, timeoutMs);
  if (!result.ok) return result.reason === "late" ? nvidiaGpusOfDriver(effects) : [];
  return result.stdout.split("\n").flatMap((line): Gpu[] => {
    const [index = "", uuid = "", name, memory, driver, capability] = line
      .split(",")
      .map((text) => text.trim());
    if (name === undefined || !isVisible(effects.env.CUDA_VISIBLE_DEVICES, index, uuid)) return [];
    const memoryMib = Number(memory);
    const computeCapability = Number(capability);
    return [
      {
        vendor: "nvidia",
        name,
        // "[N/A]" on cards that share the machine's memory (Grace, Jetson).
        ...(memoryMib > 0 ? { memoryBytes: memoryMib * MIB } : {}),
        ...(driver === undefined ? {} : { driver }),
        ...(computeCapability > 0 ? { computeCapability } : {}),
      },
    ];
  });
}

/** Without persistence mode nvidia-smi can take seconds to wake a driver; the driver's own files name the cards at once. */
function nvidiaGpusOfDriver(effects: MachineEffects): readonly Gpu[] {
  const driver = /Module\b.*?\s(\d+\.[\d.]+)/.exec(
    effects.readText("/proc/driver/nvidia/version") ?? "",
  )?.[1];
  return effects.list("/proc/driver/nvidia/gpus").flatMap((address): Gpu[] => {
    const text = effects.readText(`/proc/driver/nvidia/gpus/${address}/information`) ?? "";
    const name = /^Model:\s*(.+)$/m.exec(text)?.[1];
    const uuid = /^GPU UUID:\s*(\S+)$/m.exec(text)?.[1] ?? "";
    const minor = /^Device Minor:\s*(\d+)$/m.exec(text)?.[1] ?? "";
    if (name === undefined || !isVisible(effects.env.CUDA_VISIBLE_DEVICES, minor, uuid)) return [];
    return [{ vendor: "nvidia", name, ...(driver === undefined ? {} : { driver }) }];
  });
}

/** CUDA's own rule: indexes or the beginnings of UUIDs; empty or -1 hides all. Parts of a card (MIG) are taken as there. */
function isVisible(visibleDevices: string | undefined, index: string, uuid: string): boolean {
  if (visibleDevices === undefined) return true;
  return visibleDevices
    .split(",")
    .map((device) => device.trim())
    .some(
      (device) => device === index || device.startsWith("MIG-") || (device !== "" && uuid.startsWith(device)),
    );
}

// rocm-smi's JSON: a mapping a card, and one for the system; numbers are text, and keys change case between versions.
const rocmAnswer = z.record(z.string(), z.record(z.string(), z.unknown()));

async function amdGpus(effects: MachineEffects, timeoutMs: number): Promise<readonly Gpu[]> {
  const command = findRocmSmi(effects);
  if (command === undefined) return [];
  const query = ["--showproductname", "--showmeminfo", "vram", "--showdriverversion", "--json"];
  const result = await effects.run(command, query, timeoutMs);
  if (!result.ok) return [];
  const parsed = rocmAnswer.safeParse(parseJson(result.stdout));
  if (!parsed.success) return [];
  const driver = textAt(parsed.data.system ?? {}, /^driver version$/i);
  return Object.entries(parsed.data).flatMap(([key, card]): Gpu[] => {
    if (!/^card\d+$/.test(key)) return [];
    const name = textAt(card, /^card series$/i) ?? textAt(card, /^card model$/i) ?? "AMD GPU";
    const memoryBytes = Number(textAt(card, /^vram total memory \(b\)$/i));
    return [
      {
        vendor: "amd",
        name,
        ...(memoryBytes > 0 ? { memoryBytes } : {}),
        ...(driver === undefined ? {} : { driver }),
      },
    ];
  });
}

function textAt(mapping: Readonly<Record<string, unknown>>, key: RegExp): string | undefined {
  const found = Object.entries(mapping).find(([name]) => key.test(name))?.[1];
  return typeof found === "string" ? found : undefined;
}
