import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { ensureVenv, type PythonEngine, venvPath } from "./venvs.ts";

/**
 * `npm run test:engines [mlx] [vllm]`: the demo model's weights on the real engines, installed from PyPI into a cache
 * outside the clone (mlx: a minute and 0.4 GB; vllm: six minutes and 6.2 GB). Says in one line why an engine is left out.
 */
const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const run = promisify(execFile);

const asked = process.argv.slice(2).filter((name): name is PythonEngine => name === "mlx" || name === "vllm");
const names: readonly PythonEngine[] = asked.length > 0 ? asked : ["mlx", "vllm"];

async function main(): Promise<number> {
  const venvs: Partial<Record<PythonEngine, string>> = {};
  let missing = 0;
  for (const name of names) {
    try {
      venvs[name] = await ensureVenv(name, (line) => console.log(line));
    } catch (error) {
      missing++;
      console.log(`test:engines leaves out ${name}: ${error instanceof Error ? error.message : error}`);
    }
  }
  const python = venvs.mlx ?? venvs.vllm;
  if (python === undefined) return 1;
  const prepared = join(await exportDemo(join(python, "bin", "python")), "prepared.json");
  const exported = join(prepared, "..");
  writeFileSync(
    prepared,
    JSON.stringify({ venvs, hf: join(exported, "hf"), f32: join(exported, "f32.gguf") }),
  );
  const vitest = join(ROOT, "node_modules", "vitest", "vitest.mjs");
  const args = [vitest, "run", "--config", "test/engines/vitest.config.ts"];
  const env = { ...process.env, SLUICE_ENGINES: prepared };
  const child = spawn(process.execPath, args, { cwd: ROOT, env, stdio: "inherit" });
  const code = await new Promise<number>((resolve) => child.once("close", (code) => resolve(code ?? 1)));
  return code === 0 && missing > 0 ? 1 : code;
}

/** The shipped weights for the other engines, once for each version of them. Returns the folder. */
async function exportDemo(python: string): Promise<string> {
  const demo = join(ROOT, "runtime-node", "models", "demo");
  const key = createHash("sha256")
    .update(readFileSync(join(demo, "sluice-demo.gguf")))
    .digest("hex")
    .slice(0, 12);
  const folder = join(venvPath("mlx"), "..", "..", `demo-${key}`);
  const [hf, f32] = [join(folder, "hf"), join(folder, "f32.gguf")];
  if (!existsSync(join(hf, "config.json")) || !existsSync(f32)) {
    mkdirSync(folder, { recursive: true });
    await run(python, [join(demo, "export.py"), "--hf", hf, "--f32", f32]);
    allowTools(join(hf, "tokenizer_config.json"));
  }
  return folder;
}

/** mlx_lm reads Hermes calls only where the template has these words (tokenizer_utils.py, 0.32.2). */
function allowTools(path: string): void {
  const config = JSON.parse(readFileSync(path, "utf8"));
  if (config.chat_template.includes("tool_call.name")) return;
  config.chat_template += "{#- tool_call.name -#}";
  writeFileSync(path, JSON.stringify(config));
}

process.exitCode = await main();
