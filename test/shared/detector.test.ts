import { describe, expect, it } from "vitest";
import {
  detectBestEngine,
  ENGINES,
  type EngineInstall,
  type Gpu,
  type PlatformInfo,
} from "../../shared/detector.ts";

const h100: Gpu = {
  vendor: "nvidia",
  name: "NVIDIA H100",
  memoryBytes: 85e9,
  driver: "570.1",
  computeCapability: 9,
};
const k80: Gpu = { vendor: "nvidia", name: "Tesla K80", computeCapability: 3.7 };
const unknownNvidia: Gpu = { vendor: "nvidia", name: "NVIDIA GB10" };
const mi300: Gpu = { vendor: "amd", name: "AMD Instinct MI300X", memoryBytes: 206e9 };
const metal: Gpu = { vendor: "apple", name: "Apple M3 GPU", memoryBytes: 16e9, driver: "Metal" };
const installs: Readonly<Record<EngineInstall["engine"], EngineInstall>> = {
  llama_cpp: { engine: "llama_cpp", version: "3.22.1" },
  vllm: { engine: "vllm", version: "0.33.0", command: "/opt/vllm/bin/vllm" },
  mlx: { engine: "mlx", version: "0.32.0" },
};

type Case = Pick<PlatformInfo, "system" | "machine"> & {
  readonly gpus?: readonly Gpu[];
  readonly has?: readonly EngineInstall["engine"][];
  readonly wsl?: boolean;
};

function platform({ system, machine, gpus = [], has = [], wsl = false }: Case): PlatformInfo {
  return {
    system,
    machine,
    wsl,
    cpuModel: system === "darwin" && machine === "arm64" ? "Apple M3" : "AMD EPYC 9354",
    cores: 8,
    cpuBudget: 8,
    memoryBytes: 16e9,
    memoryLimitBytes: 16e9,
    memoryAvailableBytes: 8e9,
    gpus,
    engines: [installs.llama_cpp, ...has.map((engine) => installs[engine])],
  };
}

const linux = { system: "linux", machine: "x86_64" } as const;
const linuxArm = { system: "linux", machine: "arm64" } as const;
const mac = { system: "darwin", machine: "arm64" } as const;
const intelMac = { system: "darwin", machine: "x86_64" } as const;
const windows = { system: "windows", machine: "x86_64" } as const;
const windowsArm = { system: "windows", machine: "arm64" } as const;

const MATRIX: readonly (readonly [string, Case, string, string])[] = [
  ["Linux, NVIDIA, vLLM", { ...linux, gpus: [h100], has: ["vllm"] }, "vllm", "vLLM 0.33.0 on NVIDIA H100."],
  [
    "Linux, 2x NVIDIA, vLLM",
    { ...linux, gpus: [h100, h100], has: ["vllm"] },
    "vllm",
    "vLLM 0.33.0 on 2 GPUs (NVIDIA H100 …).",
  ],
  [
    "Linux, AMD, vLLM",
    { ...linux, gpus: [mi300], has: ["vllm"] },
    "vllm",
    "vLLM 0.33.0 on AMD Instinct MI300X.",
  ],
  [
    "Linux on ARM, NVIDIA, vLLM",
    { ...linuxArm, gpus: [unknownNvidia], has: ["vllm"] },
    "vllm",
    "vLLM 0.33.0 on NVIDIA GB10.",
  ],
  [
    "Linux, NVIDIA, no vLLM",
    { ...linux, gpus: [h100] },
    "llama_cpp",
    "llama.cpp on NVIDIA H100: vLLM is not installed (pip install vllm).",
  ],
  [
    "Linux, AMD, no vLLM",
    { ...linux, gpus: [mi300] },
    "llama_cpp",
    "llama.cpp on AMD Instinct MI300X: vLLM is not installed (pip install vllm).",
  ],
  [
    "Linux, old NVIDIA, vLLM",
    { ...linux, gpus: [k80], has: ["vllm"] },
    "llama_cpp",
    "llama.cpp on Tesla K80: vLLM needs CUDA compute capability 7.0 or ROCm, and Tesla K80 has neither.",
  ],
  [
    "Linux, old and new NVIDIA, vLLM",
    { ...linux, gpus: [k80, h100], has: ["vllm"] },
    "vllm",
    "vLLM 0.33.0 on 2 GPUs (Tesla K80 …).",
  ],
  [
    "Linux, no GPU, vLLM",
    { ...linux, has: ["vllm"] },
    "llama_cpp",
    "llama.cpp on the CPU (AMD EPYC 9354): vLLM needs a GPU, and none was found.",
  ],
  [
    "Linux, no GPU",
    linux,
    "llama_cpp",
    "llama.cpp on the CPU (AMD EPYC 9354): vLLM needs a GPU, and none was found.",
  ],
  [
    "Linux on ARM, no GPU, MLX",
    { ...linuxArm, has: ["mlx"] },
    "llama_cpp",
    "llama.cpp on the CPU (AMD EPYC 9354): vLLM needs a GPU, and none was found.",
  ],
  [
    "WSL, NVIDIA, vLLM",
    { ...linux, wsl: true, gpus: [h100], has: ["vllm"] },
    "vllm",
    "vLLM 0.33.0 on NVIDIA H100, inside WSL.",
  ],
  [
    "WSL, NVIDIA, no vLLM",
    { ...linux, wsl: true, gpus: [h100] },
    "llama_cpp",
    "llama.cpp on NVIDIA H100: vLLM is not installed (pip install vllm).",
  ],
  [
    "WSL, no GPU, vLLM",
    { ...linux, wsl: true, has: ["vllm"] },
    "llama_cpp",
    "llama.cpp on the CPU (AMD EPYC 9354): vLLM needs a GPU, and none was found.",
  ],
  ["Apple silicon, MLX", { ...mac, gpus: [metal], has: ["mlx"] }, "mlx", "MLX 0.32.0 on Apple M3."],
  [
    "Apple silicon, MLX and vLLM",
    { ...mac, gpus: [metal], has: ["mlx", "vllm"] },
    "mlx",
    "MLX 0.32.0 on Apple M3.",
  ],
  [
    "Apple silicon, no MLX",
    { ...mac, gpus: [metal] },
    "llama_cpp",
    "llama.cpp on Apple M3 GPU: MLX is not installed (pip install mlx-lm).",
  ],
  [
    "Apple silicon, vLLM",
    { ...mac, gpus: [metal], has: ["vllm"] },
    "llama_cpp",
    "llama.cpp on Apple M3 GPU: MLX is not installed (pip install mlx-lm).",
  ],
  [
    "Mac with Intel, MLX",
    { ...intelMac, has: ["mlx"] },
    "llama_cpp",
    "llama.cpp on the CPU (AMD EPYC 9354): a Mac with an Intel processor has no MLX.",
  ],
  [
    "Windows, NVIDIA, vLLM",
    { ...windows, gpus: [h100], has: ["vllm"] },
    "llama_cpp",
    "llama.cpp on NVIDIA H100: vLLM has no native Windows build; run Sluice inside WSL 2 to use it.",
  ],
  [
    "Windows, no GPU",
    windows,
    "llama_cpp",
    "llama.cpp on the CPU (AMD EPYC 9354): vLLM has no native Windows build; run Sluice inside WSL 2 to use it.",
  ],
  [
    "Windows on ARM",
    windowsArm,
    "llama_cpp",
    "llama.cpp on the CPU (AMD EPYC 9354): vLLM has no native Windows build; run Sluice inside WSL 2 to use it.",
  ],
];

describe("the best engine", () => {
  it.each(MATRIX)("for %s", (_name, machine, engine, reason) => {
    expect(detectBestEngine(platform(machine))).toEqual({ engine, reason });
  });

  it("comes with a warning when nothing is installed", () => {
    const bare: PlatformInfo = { ...platform(linux), engines: [] };
    expect(detectBestEngine(bare)).toMatchObject({
      engine: "llama_cpp",
      warning: "node-llama-cpp is not installed for this platform (npm install node-llama-cpp).",
    });
  });
});

describe("a forced engine", () => {
  it.each(MATRIX)("is taken on %s, whichever it is", (_name, machine) => {
    for (const forceEngine of ENGINES) {
      const choice = detectBestEngine(platform(machine), { forceEngine });
      expect(choice).toMatchObject({ engine: forceEngine, reason: `${forceEngine} was asked for.` });
    }
  });

  it.each([
    ["vllm", { ...linux, gpus: [h100], has: ["vllm"] }, undefined],
    ["vllm", { ...linux, has: ["vllm"] }, "vLLM needs a GPU, and none was found."],
    ["vllm", { ...mac, gpus: [metal], has: ["vllm"] }, "vLLM doesn't use Apple's GPU."],
    [
      "vllm",
      { ...windows, gpus: [h100] },
      "vLLM has no native Windows build; run Sluice inside WSL 2 to use it.",
    ],
    ["mlx", { ...mac, gpus: [metal], has: ["mlx"] }, undefined],
    ["mlx", { ...linux, has: ["mlx"] }, "MLX is made for Apple silicon, and this machine is none."],
    ["llama_cpp", windows, undefined],
    ["dummy", windows, undefined],
  ] satisfies [(typeof ENGINES)[number], Case, string | undefined][])(
    "%s on %o warns: %s",
    (forceEngine, machine, warning) => {
      expect(detectBestEngine(platform(machine), { forceEngine }).warning).toBe(warning);
    },
  );
});
