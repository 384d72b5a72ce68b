import type { Command } from "commander";
import type { Log } from "../../functions/deps.ts";
import { createLog } from "../../functions/log.ts";
import pkg from "../../package.json" with { type: "json" };
import type { Config } from "../../shared/config.ts";
import { keepConfiguredAccounts } from "../../shared/configured-directory.ts";
import type { EngineChoice, PlatformInfo } from "../../shared/detector.ts";
import { createDummyEngine } from "../../shared/dummy-engine.ts";
import type { Engine } from "../../shared/engine.ts";
import { accessOf } from "../access.ts";
import { banner } from "../banner.ts";
import { chooseEngine } from "../choose-engine.ts";
import { readConfig } from "../config-file.ts";
import { createLlamaCppEngine } from "../engines/llama-cpp.ts";
import { superviseEngine } from "../engines/supervise.ts";
import { ledgerPlace, openStore } from "../ledger/open-store.ts";
import { createProgressBar, defaultCacheDir, resolveModel } from "../models/download.ts";
import { createMonitor } from "../monitor.ts";
import { getPlatformInfo } from "../probe.ts";
import { type RunningServer, startServer } from "../server.ts";

interface ServeFlags {
  readonly config?: string;
  readonly host?: string;
  readonly port?: string;
  readonly engine?: string;
  readonly model?: string;
}

/** A terminal's Ctrl-C reaches this process from the terminal and again through npm: one press within this time, in ms. */
const SAME_PRESS_MS = 250;

export function configureServe(command: Command): void {
  command
    .option("-c, --config <file>", "configuration file (default: sluice.yaml, or SLUICE_CONFIG)")
    .option("--host <address>", "address to listen on (default: 0.0.0.0)")
    .option("-p, --port <number>", "port to listen on; 0 for any free one (default: 8000)")
    .option(
      "-m, --model <source>",
      "demo, a path or URL of a GGUF, hf:user/repo[:quant] or hf:user/repo/file.gguf",
    )
    .option("--engine <name>", "auto, vllm, mlx, llama_cpp, llama_server or dummy (default: auto)")
    .action(serve);
}

async function serve(flags: ServeFlags): Promise<void> {
  const { config, path } = await readConfig({ path: flags.config, env: process.env, overrides: flags });
  const log = createLog(config.log.level, (line) => process.stderr.write(`${line}\n`));
  const store = await openStore(config, log);
  const access = await accessOf(config, store.directory);
  await keepConfiguredAccounts(config, store.directory, Date.now());
  const info = await getPlatformInfo();
  const choice = config.models.length === 0 ? undefined : chooseEngine(config, info);
  const local = choice === undefined ? undefined : await createLocalEngine(choice, config, info, log);
  const monitor = createMonitor();
  const platform = { info: { ...info }, sample: async () => ({ ...(await monitor.current()) }) };

  await local?.initialize();
  const server = await listen(() => startServer({ config, local, store, platform, log }), config);
  const stopping = stopOnSignal(server, log);
  try {
    // It listens before its models are there: until then they answer 503 with a time to retry.
    if (local !== undefined && choice !== undefined) await loadModels(local, choice, config);
  } catch (error) {
    if (stopping.aborted) return; // A load that the stop cut off is no failure: the drain ends this process.
    throw error;
  }
  process.stdout.write(
    banner({
      version: pkg.version,
      url: server.url,
      config,
      configPath: path,
      choice,
      status: local?.status(),
      access,
      ledger: ledgerPlace(config),
    }),
  );
}

async function createLocalEngine(
  { engine }: EngineChoice,
  config: Config,
  info: PlatformInfo,
  log: Log,
): Promise<Engine> {
  switch (engine) {
    case "dummy":
      return createDummyEngine();
    case "llama_cpp":
      return createInProcess(config, info, log);
    case "vllm":
    case "mlx":
    case "llama_server":
      return await superviseEngine(engine, config, info, log);
    default:
      return engine satisfies never;
  }
}

function createInProcess(config: Config, info: PlatformInfo, log: Log): Engine {
  return createLlamaCppEngine({
    ...config.llamaCpp,
    cacheDir: config.downloads.cacheDir ?? defaultCacheDir(),
    cpuBudget: info.cpuBudget,
    memoryBytes: info.memoryAvailableBytes,
    gpu: info.gpus.length > 0,
    log,
  });
}

async function loadModels(engine: Engine, choice: EngineChoice, config: Config): Promise<void> {
  const { cacheDir, endpoint, token } = config.downloads;
  const loadsItself = choice.engine !== "llama_cpp" && choice.engine !== "dummy";
  for (const { id, source, load } of config.models) {
    if (loadsItself) {
      if (load === "start") await engine.loadModel(id, source);
      continue;
    }
    const bar = createProgressBar();
    try {
      const model = await resolveModel(source, { cacheDir, endpoint, token, onProgress: bar.update });
      bar.stop();
      await engine.loadModel(id, model.path);
    } finally {
      bar.stop();
    }
  }
}

async function listen(start: () => Promise<RunningServer>, config: Config): Promise<RunningServer> {
  try {
    return await start();
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
    const place = `${config.host}:${config.port}`;
    if (code === "EADDRINUSE") {
      throw new Error(`${place} is taken by another program; choose another with --port or PORT`, { cause });
    }
    if (code === "EACCES")
      throw new Error(`no permission to listen on ${place}; ports below 1024 need it`, { cause });
    if (code === "EADDRNOTAVAIL" || code === "ENOTFOUND") {
      throw new Error(`this machine has no address ${config.host}; choose another with --host or HOST`, {
        cause,
      });
    }
    throw cause;
  }
}

/** The first signal, which aborts what is returned, drains and exits with 0; a second one ends at once. */
function stopOnSignal(server: RunningServer, log: Log): AbortSignal {
  const stopping = new AbortController();
  let firstAt: number | undefined;
  const stop = (signal: NodeJS.Signals) => {
    const now = performance.now();
    if (firstAt !== undefined) {
      if (now - firstAt > SAME_PRESS_MS) process.exit(signal === "SIGINT" ? 130 : 143);
      return;
    }
    firstAt = now;
    stopping.abort();
    log.info("stopping", { signal });
    server.close().then(
      () => process.exit(0),
      (error) => {
        log.error("could not stop cleanly", { error: String(error) });
        process.exit(1);
      },
    );
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  return stopping.signal;
}
