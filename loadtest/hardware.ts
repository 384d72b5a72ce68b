import { z } from "zod";
import { detectBestEngine, type EngineChoice, type Gpu, type PlatformInfo } from "../shared/detector.ts";

/** The specification's kinds of machine, so that results of like machines are compared. */
export interface HardwareProfile {
  readonly device: "cpu" | "cuda" | "rocm" | "mps";
  readonly engine: "llama_cpp" | "vllm" | "mlx";
  /** The machine that the profile has in mind. */
  readonly memory: string;
}

export const HARDWARE_PROFILES = {
  cpu_only: { device: "cpu", engine: "llama_cpp", memory: "16 GB" },
  gpu_consumer: { device: "cuda", engine: "vllm", memory: "RTX 4090, 24 GB" },
  gpu_enterprise: { device: "cuda", engine: "vllm", memory: "A100, 80 GB" },
  apple_silicon: { device: "mps", engine: "mlx", memory: "64 GB and more, unified" },
} as const satisfies Record<string, HardwareProfile>;
export type HardwareName = keyof typeof HARDWARE_PROFILES;
export const HARDWARE_NAMES: readonly HardwareName[] = [
  "cpu_only",
  "gpu_consumer",
  "gpu_enterprise",
  "apple_silicon",
];

export interface Hardware extends HardwareProfile {
  readonly profile: HardwareName;
  /** What was really found, where it could be looked at. */
  readonly found: {
    readonly cpu: string;
    readonly cores: number;
    readonly memoryBytes: number;
    readonly gpus: readonly { readonly name: string; readonly memoryBytes: number | null }[];
    readonly choice: EngineChoice;
  } | null;
}

/** A profile by its name: for a server on a machine that can't be looked at. */
export function hardwareNamed(profile: HardwareName): Hardware {
  return { profile, ...HARDWARE_PROFILES[profile], found: null };
}

/** The profile of a machine that was probed, with what it really has. */
export function hardwareOf(info: PlatformInfo): Hardware {
  const profile = profileOf(info);
  const device = info.gpus[0]?.vendor === "amd" ? "rocm" : HARDWARE_PROFILES[profile].device;
  return {
    profile,
    ...HARDWARE_PROFILES[profile],
    device,
    found: {
      cpu: info.cpuModel,
      cores: info.cores,
      memoryBytes: info.memoryLimitBytes,
      gpus: info.gpus.map(({ name, memoryBytes = null }) => ({ name, memoryBytes })),
      choice: detectBestEngine(info),
    },
  };
}

function profileOf({ system, machine, gpus }: PlatformInfo): HardwareName {
  if (system === "darwin" && machine === "arm64") return "apple_silicon";
  const [first] = gpus.filter(({ vendor }) => vendor !== "apple");
  if (first === undefined) return "cpu_only";
  return isConsumer(first) ? "gpu_consumer" : "gpu_enterprise";
}

/** By the brands of cards for players and desks; NVIDIA's and AMD's cards for servers have none of them. */
function isConsumer({ name }: Gpu): boolean {
  return /GeForce|TITAN|Radeon/i.test(name);
}

/** What a Sluice says of its own machine in `/v1/system/status`. */
export const statusSchema = z.object({
  platform: z.object({
    system: z.enum(["linux", "darwin", "windows"]),
    machine: z.enum(["x86_64", "arm64", "other"]),
    wsl: z.boolean(),
    cpuModel: z.string(),
    cores: z.number(),
    cpuBudget: z.number(),
    memoryBytes: z.number(),
    memoryLimitBytes: z.number(),
    memoryAvailableBytes: z.number(),
    gpus: z.array(
      z.object({
        vendor: z.enum(["nvidia", "amd", "apple"]),
        name: z.string(),
        memoryBytes: z.number().optional(),
        computeCapability: z.number().optional(),
      }),
    ),
    engines: z.array(z.object({ engine: z.enum(["vllm", "mlx", "llama_cpp"]), version: z.string() })),
  }),
});
