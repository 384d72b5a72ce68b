/** Which engine suits a machine. Pure: reading the machine is `runtime-node/probe.ts`. */

export const ENGINES = ["vllm", "mlx", "llama_cpp", "llama_server", "dummy"] as const;
export type EngineName = (typeof ENGINES)[number];

export interface PlatformInfo {
  readonly system: "linux" | "darwin" | "windows";
  /** Of the hardware: `arm64` also where an x86 Node runs translated on Apple silicon. */
  readonly machine: "x86_64" | "arm64" | "other";
  /** Linux inside Windows; `system` is then `linux`. */
  readonly wsl: boolean;
  readonly cpuModel: string;
  /** Logical CPUs of the machine. */
  readonly cores: number;
  /** CPUs that this process may keep busy: the lower of affinity and cgroup quota. May be a fraction. */
  readonly cpuBudget: number;
  readonly memoryBytes: number;
  /** The lower of the machine's memory and every cgroup limit above this process. */
  readonly memoryLimitBytes: number;
  readonly memoryAvailableBytes: number;
  readonly gpus: readonly Gpu[];
  readonly engines: readonly EngineInstall[];
}

export interface Gpu {
  readonly vendor: "nvidia" | "amd" | "apple";
  readonly name: string;
  /** Unknown where the driver doesn't tell. On Apple silicon it is the machine's memory. */
  readonly memoryBytes?: number;
  readonly driver?: string;
  /** NVIDIA's compute capability, such as 8.9. */
  readonly computeCapability?: number;
}

export interface EngineInstall {
  readonly engine: Exclude<EngineName, "dummy" | "llama_server">;
  readonly version: string;
  /** The command that starts it, where it isn't a library of ours. */
  readonly command?: string;
}

export interface EngineChoice {
  readonly engine: EngineName;
  /** A sentence for the log, `doctor` and the status. */
  readonly reason: string;
  /** Why the choice may not work; only where it was forced, or nothing better is there. */
  readonly warning?: string;
}

export interface DetectOptions {
  /** Taken whatever the machine looks like; `warning` says what speaks against it. */
  readonly forceEngine?: EngineName | undefined;
}

/** vLLM's own floor for CUDA: V100, T4 and newer (docs, "GPU installation"). */
const MIN_COMPUTE_CAPABILITY = 7;

/**
 * The engine that suits the machine best, and why.
 *
 * @example
 * const { engine, reason } = detectBestEngine(await getPlatformInfo());
 */
export function detectBestEngine(info: PlatformInfo, options: DetectOptions = {}): EngineChoice {
  const { forceEngine } = options;
  if (forceEngine !== undefined) {
    const warning = obstacle(info, forceEngine);
    const reason = `${forceEngine} was asked for.`;
    return warning === undefined ? { engine: forceEngine, reason } : { engine: forceEngine, reason, warning };
  }
  const preferred = preferredEngine(info);
  if (preferred !== undefined) {
    const why = obstacle(info, preferred);
    if (why === undefined) return { engine: preferred, reason: suits(info, preferred) };
    return fallBack(info, why);
  }
  return fallBack(info, otherwise(info));
}

function preferredEngine(info: PlatformInfo): "vllm" | "mlx" | undefined {
  if (isAppleSilicon(info)) return "mlx";
  return info.system === "linux" && info.gpus.length > 0 ? "vllm" : undefined;
}

function fallBack(info: PlatformInfo, why: string): EngineChoice {
  const warning = obstacle(info, "llama_cpp");
  const reason = `llama.cpp on ${computesOn(info)}: ${why}`;
  return warning === undefined ? { engine: "llama_cpp", reason } : { engine: "llama_cpp", reason, warning };
}

/** What stands in the way of `engine` here, or undefined when nothing is known to. */
function obstacle(info: PlatformInfo, engine: EngineName): string | undefined {
  switch (engine) {
    case "vllm":
      return vllmObstacle(info);
    case "mlx":
      if (!isAppleSilicon(info)) return "MLX is made for Apple silicon, and this machine is none.";
      return isInstalled(info, "mlx") ? undefined : "MLX is not installed (pip install mlx-lm).";
    case "llama_cpp":
      return isInstalled(info, "llama_cpp")
        ? undefined
        : "node-llama-cpp is not installed for this platform (npm install node-llama-cpp).";
    case "llama_server": // Only ever asked for, with a command of its own: starting it shows what is wrong.
    case "dummy":
      return undefined;
    default:
      return engine satisfies never;
  }
}

function vllmObstacle(info: PlatformInfo): string | undefined {
  switch (info.system) {
    case "windows":
      return "vLLM has no native Windows build; run Sluice inside WSL 2 to use it.";
    case "darwin":
      return "vLLM doesn't use Apple's GPU.";
    case "linux":
      break;
    default:
      return info.system satisfies never;
  }
  if (info.gpus.length === 0) return "vLLM needs a GPU, and none was found.";
  if (usableGpus(info).length === 0) {
    const found = info.gpus.map((gpu) => gpu.name).join(", ");
    return `vLLM needs CUDA compute capability ${MIN_COMPUTE_CAPABILITY}.0 or ROCm, and ${found} has neither.`;
  }
  return isInstalled(info, "vllm") ? undefined : "vLLM is not installed (pip install vllm).";
}

function suits(info: PlatformInfo, engine: "vllm" | "mlx"): string {
  const version = info.engines.find((install) => install.engine === engine)?.version;
  switch (engine) {
    case "mlx":
      return `MLX ${version} on ${info.cpuModel}.`;
    case "vllm":
      return `vLLM ${version} on ${computesOn(info)}${info.wsl ? ", inside WSL" : ""}.`;
    default:
      return engine satisfies never;
  }
}

function otherwise(info: PlatformInfo): string {
  if (info.system === "darwin") return "a Mac with an Intel processor has no MLX.";
  return vllmObstacle(info) ?? "no other engine suits this machine.";
}

function computesOn(info: PlatformInfo): string {
  const [first] = info.gpus;
  if (first === undefined) return `the CPU (${info.cpuModel})`;
  return info.gpus.length === 1 ? first.name : `${info.gpus.length} GPUs (${first.name} …)`;
}

function usableGpus(info: PlatformInfo): readonly Gpu[] {
  return info.gpus.filter((gpu) => {
    switch (gpu.vendor) {
      case "nvidia":
        return (gpu.computeCapability ?? MIN_COMPUTE_CAPABILITY) >= MIN_COMPUTE_CAPABILITY;
      case "amd":
        return true;
      case "apple":
        return false;
      default:
        return gpu.vendor satisfies never;
    }
  });
}

function isAppleSilicon(info: PlatformInfo): boolean {
  return info.system === "darwin" && info.machine === "arm64";
}

function isInstalled(info: PlatformInfo, engine: EngineName): boolean {
  return info.engines.some((install) => install.engine === engine);
}
