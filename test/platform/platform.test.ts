import { execFileSync } from "node:child_process";
import os from "node:os";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { describe, expect, it, type TestContext } from "vitest";
import manifest from "../../package.json" with { type: "json" };
import { getPlatformInfo } from "../../runtime-node/probe.ts";
import { findCommand, thisMachine } from "../../runtime-node/probe-effects.ts";
import { detectBestEngine, type Gpu, type PlatformInfo } from "../../shared/detector.ts";

const info = await getPlatformInfo({ isThorough: true, timeoutMs: 20_000 });
const { engine, reason } = detectBestEngine(info);
const nvidiaSmi = findCommand(thisMachine(process.env), "nvidia-smi", ["/usr/lib/wsl/lib"]);

/** Leaves the test out where it can't say anything, and tells why in the report. */
function needs(context: TestContext, isHere: boolean, why: string): void {
  if (isHere) return;
  context.task.meta.note = why;
  console.log(`not here: ${context.task.name}: ${why}`);
  context.skip(why);
}

describe("this platform", () => {
  it("is the one that Node and the system's own tools name", (context) => {
    const systems: Readonly<Record<string, PlatformInfo["system"]>> = {
      linux: "linux",
      darwin: "darwin",
      win32: "windows",
    };
    const machines: Readonly<Record<string, PlatformInfo["machine"]>> = {
      x86_64: "x86_64",
      AMD64: "x86_64",
      arm64: "arm64",
      aarch64: "arm64",
    };
    expect(info.system).toBe(systems[process.platform]);
    expect(info.machine).toBe(machines[os.machine()] ?? "other");
    expect(info.memoryBytes).toBe(os.totalmem());
    expect(info.cores).toBe(os.cpus().length);
    context.task.meta.figures = {
      platform: `${info.system} ${info.machine}`,
      cpu: `${info.cpuModel}, ${info.cores} cores`,
      gpus: info.gpus.map(({ name }) => name).join(", ") || "none",
      engine: `${engine}: ${reason}`,
      node: process.version,
    };
  });

  it("has no more processors for us than the kernel lets this process use", (context) => {
    const nproc = findCommand(thisMachine(process.env), "nproc");
    needs(context, info.system === "linux" && nproc !== undefined, "nproc is a tool of Linux");
    const allowed = Number(execFileSync(nproc ?? "", { encoding: "utf8" }));
    expect(info.cpuBudget).toBeGreaterThan(0);
    expect(info.cpuBudget).toBeLessThanOrEqual(allowed);
  });
});

describe("the engine for this platform", () => {
  it("is MLX on Apple silicon where it is installed, else llama.cpp", (context) => {
    needs(context, process.platform === "darwin", "only macOS has MLX; run npm run test:platform on a Mac");
    const hasMlx = info.engines.some((install) => install.engine === "mlx");
    expect(engine).toBe(info.machine === "arm64" && hasMlx ? "mlx" : "llama_cpp");
  });

  it("is vLLM or llama.cpp on Linux and Windows", (context) => {
    needs(context, process.platform !== "darwin", "macOS has the test above");
    expect(["vllm", "llama_cpp"]).toContain(engine);
  });

  it("is vLLM where a GPU and vLLM are there", (context) => {
    const hasVllm = info.engines.some((install) => install.engine === "vllm");
    needs(context, info.gpus.length > 0, "this machine has no GPU");
    needs(context, info.system === "linux", "vLLM runs on Linux only");
    expect(engine).toBe(hasVllm ? "vllm" : "llama_cpp");
  });

  it("has llama.cpp to fall back on, for this very platform", () => {
    expect(info.engines).toContainEqual({ engine: "llama_cpp", version: expect.stringMatching(/^\d+\./) });
  });
});

describe("GPUs", () => {
  it("are those that nvidia-smi lists", (context) => {
    needs(context, nvidiaSmi !== undefined, "there is no nvidia-smi here");
    const list = execFileSync(nvidiaSmi ?? "", ["-L"], { encoding: "utf8" });
    const names = Array.from(list.matchAll(/^GPU \d+: (.+) \(UUID/gm), ([, name]) => name);
    expect(gpusOf("nvidia").map(({ name }) => name)).toEqual(names);
    for (const { memoryBytes } of gpusOf("nvidia")) expect(memoryBytes).toBeGreaterThan(2 ** 30);
  });

  it("are the machine's own on Apple silicon, with its memory", (context) => {
    needs(
      context,
      process.platform === "darwin" && info.machine === "arm64",
      "this is no Mac with Apple silicon",
    );
    expect(gpusOf("apple")).toHaveLength(1);
    expect(gpusOf("apple")[0]?.memoryBytes).toBe(info.memoryBytes);
  });

  it("are none where no driver is", (context) => {
    const hasDriver = nvidiaSmi !== undefined || process.platform !== "linux";
    needs(context, !hasDriver, "this machine has a GPU's driver");
    expect(gpusOf("nvidia")).toEqual([]);
  });
});

describe("what Sluice stands on", () => {
  it("is a Node that strips types by itself", () => {
    const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
    expect(major > 22 || (major === 22 && minor >= 18), `Node ${process.versions.node}`).toBe(true);
  });

  it.each(Object.keys(manifest.dependencies))("loads %s", async (name) => {
    if (name === "node") {
      const file = process.platform === "win32" ? "node.exe" : "node";
      const path = fileURLToPath(new URL(`../../node_modules/node/bin/${file}`, import.meta.url));
      expect(execFileSync(path, ["--version"], { encoding: "utf8" })).toMatch(/^v24\./);
    } else if (name === "itty-durable") {
      // For the edge alone: its modules leave extensions out, which bundlers add and Node doesn't.
      const stdin = { contents: `export * from "${name}"`, resolveDir: import.meta.dirname };
      const { errors } = await build({
        stdin,
        bundle: true,
        write: false,
        format: "esm",
        logLevel: "silent",
      });
      expect(errors).toEqual([]);
    } else {
      expect(Object.keys(await import(name))).not.toEqual([]);
    }
  });
});

function gpusOf(vendor: Gpu["vendor"]): readonly Gpu[] {
  return info.gpus.filter((gpu) => gpu.vendor === vendor);
}
