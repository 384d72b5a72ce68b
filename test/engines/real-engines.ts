import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLlamaCppEngine } from "../../runtime-node/engines/llama-cpp.ts";
import { llamaServerKit } from "../../runtime-node/engines/llama-server.ts";
import { mlxKit } from "../../runtime-node/engines/mlx.ts";
import { findPython } from "../../runtime-node/engines/process-python.ts";
import { createSupervisedEngine } from "../../runtime-node/engines/supervised.ts";
import type { EngineKit } from "../../runtime-node/engines/supervised-kit.ts";
import { vllmKit } from "../../runtime-node/engines/vllm.ts";
import { thisMachine } from "../../runtime-node/probe-effects.ts";
import { createTransport } from "../../runtime-node/transport.ts";
import type { Engine } from "../../shared/engine.ts";
import { MODEL } from "../harness/wire.ts";
import { readPrepared } from "./prepare.ts";
import { F32_CACHE } from "./serve.ts";
import { llamaServerCommand, type PackagedEngine } from "./venvs.ts";

export const prepared = readPrepared();

export const CONTEXT = 512;
const quiet = () => {};
const log = {
  debug: quiet,
  info: quiet,
  warn: (...entry: unknown[]) => console.log(...entry),
  error: (...entry: unknown[]) => console.log(...entry),
};
const stateDir = mkdtempSync(join(tmpdir(), "sluice-engines-"));

export interface Made {
  readonly engine: Engine;
  close(): Promise<void>;
}

async function kitOf(name: PackagedEngine): Promise<EngineKit> {
  if (name === "llama_server") {
    const command = llamaServerCommand(prepared.venvs[name] ?? "");
    return llamaServerKit(
      { command, contextSize: CONTEXT, sequences: 2, args: F32_CACHE },
      async (path) => path,
    );
  }
  const found = await findPython(name, prepared.venvs[name], thisMachine(process.env));
  if (!found.ok) throw new Error(`${found.missing} ${found.install}`);
  if (name === "mlx") return mlxKit({ install: found.install, settings: {} });
  const settings = { dtype: "float32", eager: true, contextSize: CONTEXT, toolParser: "hermes" };
  return vllmKit({ install: found.install, settings, isWsl: false, isCpu: true, cpuCacheGib: 1 });
}

/** The demo model as the engine reads it. */
export function sourceOf(name: PackagedEngine): string {
  return name === "llama_server" ? prepared.f32 : prepared.hf;
}

/** A real engine with the demo model, as `serve` makes it; not started. */
export async function makeSupervised(name: PackagedEngine) {
  const { transport, close } = createTransport(5000);
  const engine = createSupervisedEngine({
    kit: await kitOf(name),
    models: [{ id: MODEL, source: sourceOf(name), bytes: 0 }],
    transport,
    headersTimeoutMs: 120_000,
    idleTimeoutMs: 120_000,
    stateDir,
    env: process.env,
    log,
  });
  return {
    engine,
    close: async () => {
      await engine.close();
      await close();
    },
  };
}

export function makeLlamaCpp(): Made {
  const engine = createLlamaCppEngine({
    contextSize: CONTEXT,
    sequences: 2,
    threads: 1,
    prefillThreads: 1,
    queueLimit: 16,
    cacheDir: join(stateDir, "cache"),
    cpuBudget: 1,
    memoryBytes: 2 ** 32,
    gpu: false,
    log,
  });
  return { engine, close: () => engine.close() };
}
