import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { type Sluice, startSluice } from "../harness/sluice.ts";
import { type Prepared, readPrepared } from "./prepare.ts";
import { llamaServerCommand, PACKAGED, type PackagedEngine } from "./venvs.ts";

const CONTEXT = 1024;
/** As vLLM and MLX keep it; its own default is f16. */
export const F32_CACHE = ["-ctk", "f32", "-ctv", "f32", "-fa", "off"];

/** `sluice serve` on a real engine, as a user runs it, ready to answer. Its child is ended by SIGTERM. */
export async function serveReal(
  engine: PackagedEngine,
  { venvs, hf, f32 }: Prepared,
): Promise<Sluice & { readonly url: string }> {
  const folder = mkdtempSync(join(tmpdir(), "sluice-real-"));
  const config = {
    engine,
    models: [{ id: "sluice-demo", source: engine === "llama_server" ? f32 : hf }],
    limits: { drainMs: 0 },
    log: { level: "warn" },
    downloads: { cacheDir: folder },
    mlx: { venv: venvs.mlx, contextSize: CONTEXT },
    vllm: {
      venv: venvs.vllm,
      contextSize: CONTEXT,
      dtype: "float32",
      eager: true,
      toolParser: "hermes",
      cpuCacheGib: 1,
    },
    llamaServer: {
      ...(venvs.llama_server === undefined ? {} : { command: llamaServerCommand(venvs.llama_server) }),
      contextSize: CONTEXT,
      sequences: 4,
      args: F32_CACHE,
    },
  };
  const file = join(folder, "sluice.yaml");
  writeFileSync(file, JSON.stringify(config)); // JSON is YAML, and leaves out what is undefined.
  return await startSluice(["--config", file]);
}

/** Vitest's global setup: one real engine for all files of a run. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const name = PACKAGED.find((each) => each === process.env.SLUICE_REAL_ENGINE);
  if (name === undefined) throw new Error("SLUICE_REAL_ENGINE names no engine: run.ts sets it");
  const sluice = await serveReal(name, readPrepared());
  project.provide("realEngine", { name, url: sluice.url, contextSize: CONTEXT });
  return async () => {
    sluice.child.kill("SIGTERM");
    const code = await sluice.ended;
    if (code !== 0) throw new Error(`sluice ended with ${code}: ${sluice.output()}`);
  };
}
