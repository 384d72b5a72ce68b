import { join } from "node:path";
import type { Log } from "../../functions/deps.ts";
import type { Config } from "../../shared/config.ts";
import type { PlatformInfo } from "../../shared/detector.ts";
import type { HostedEngine } from "../../shared/engine.ts";
import { defaultCacheDir, resolveModel } from "../models/download.ts";
import { thisMachine } from "../probe-effects.ts";
import { createTransport } from "../transport.ts";
import { llamaServerKit } from "./llama-server.ts";
import { mlxKit } from "./mlx.ts";
import { findPython, type PythonInstall } from "./process-python.ts";
import { createSupervisedEngine } from "./supervised.ts";
import type { EngineKit } from "./supervised-kit.ts";
import { vllmKit } from "./vllm.ts";

export type SupervisedName = EngineKit["engine"];

/** To loopback, in ms. */
const CONNECT_MS = 5000;
/** A whole answer comes with its headers; the supervisor ends an engine that hangs long before. */
const HEADERS_MS = 900_000;
const IDLE_MS = 300_000;

/** The configured models on an engine of their own. Rejects with an Error that says what to install. */
export async function superviseEngine(
  name: SupervisedName,
  config: Config,
  info: PlatformInfo,
  log: Log,
): Promise<HostedEngine> {
  const kit = await kitOf(name, config, info);
  const { transport, close } = createTransport(CONNECT_MS);
  const engine = createSupervisedEngine({
    kit,
    models: config.models.map(({ id, source, ttlMs, memoryBytes = 0 }) => ({
      id,
      source,
      bytes: memoryBytes,
      contextSize: contextSizeOf(name, config),
      ...(ttlMs === undefined ? {} : { ttlMs }),
    })),
    transport,
    registry: config.loading,
    headersTimeoutMs: HEADERS_MS,
    idleTimeoutMs: IDLE_MS,
    stateDir: join(config.downloads.cacheDir ?? defaultCacheDir(), "run"),
    env: process.env,
    log,
  });
  let closing: Promise<void> | undefined;
  return {
    ...engine,
    close: () => {
      closing ??= engine.close().then(close);
      return closing;
    },
  };
}

async function kitOf(name: SupervisedName, config: Config, info: PlatformInfo): Promise<EngineKit> {
  switch (name) {
    case "vllm": {
      const { venv, cpuCacheGib, ...settings } = config.vllm;
      const install = await pythonOf("vllm", venv);
      return vllmKit({ install, settings, isWsl: info.wsl, isCpu: info.gpus.length === 0, cpuCacheGib });
    }
    case "mlx": {
      const { venv, ...settings } = config.mlx;
      return mlxKit({ install: await pythonOf("mlx", venv), settings });
    }
    case "llama_server": {
      const { cacheDir, endpoint, token } = config.downloads;
      const resolve = async (source: string, signal: AbortSignal) =>
        (await resolveModel(source, { cacheDir, endpoint, token, signal })).path;
      return llamaServerKit(config.llamaServer, resolve);
    }
    default:
      return name satisfies never;
  }
}

function contextSizeOf(name: SupervisedName, { vllm, mlx, llamaServer }: Config): number | undefined {
  switch (name) {
    case "vllm":
      return vllm.contextSize;
    case "mlx":
      return mlx.contextSize;
    case "llama_server":
      return llamaServer.contextSize;
    default:
      return name satisfies never;
  }
}

async function pythonOf(engine: "vllm" | "mlx", venv: string | undefined): Promise<PythonInstall> {
  const found = await findPython(engine, venv, thisMachine(process.env));
  if (!found.ok) throw new Error(`${found.missing} Install it with: ${found.install}`);
  return found.install;
}
