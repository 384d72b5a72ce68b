import type { Command } from "commander";
import type { Log } from "../../functions/deps.ts";
import { createLog } from "../../functions/log.ts";
import pkg from "../../package.json" with { type: "json" };
import type { Config } from "../../shared/config.ts";
import { detectBestEngine, type EngineChoice, type PlatformInfo } from "../../shared/detector.ts";
import { createDummyEngine } from "../../shared/dummy-engine.ts";
import type { Engine } from "../../shared/engine.ts";
import { banner } from "../banner.ts";
import { readConfig } from "../config-file.ts";
import { createLlamaCppEngine } from "../engines/llama-cpp.ts";
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

export function configureServe(program: Command): void {
  program
    .command("serve", { isDefault: true })
    .description("serve the OpenAI API (the default)")
    .option("-c, --config <file>", "configuration file (default: sluice.yaml, or SLUICE_CONFIG)")
    .option("--host <address>", "address to listen on (default: 0.0.0.0)")
    .option("-p, --port <number>", "port to listen on; 0 for any free one (default: 8000)")
    .option(
      "-m, --model <source>",
      "demo, a path or URL of a GGUF, hf:user/repo[:quant] or hf:user/repo/file.gguf",
    )
    .option("--engine <name>", "auto, llama_cpp or dummy (default: auto)")
    .action(serve);
}

async function serve(flags: ServeFlags): Promise<void> {
  const { config, path } = await readConfig({ path: flags.config, env: process.env, overrides: flags });
  const log = createLog(config.log.level, (line) => process.stderr.write(`${line}\n`));
  const info = await getPlatformInfo();
  const choice = config.models.length === 0 ? undefined : chooseEngine(config, info);
  const local = choice === undefined ? undefined : createLocalEngine(choice, config, info, log);
  const monitor = createMonitor();
  const platform = { info: { ...info }, sample: async () => ({ ...(await monitor.current()) }) };

  await local?.initialize();
  const server = await listen(() => startServer({ config, local, platform, log }), config);
  stopOnSignal(server, log);
  // It listens before its models are there: until then they answer 503 with a time to retry.
  if (local !== undefined) await loadModels(local, config);
  process.stdout.write(
    banner({
      version: pkg.version,
      url: server.url,
      config,
      configPath: path,
      choice,
      status: local?.status(),
    }),
  );
}

/** What this version runs by itself. vLLM and MLX are reached as backends. */
function chooseEngine(config: Config, info: PlatformInfo): EngineChoice {
  const forceEngine = config.engine === "auto" ? undefined : config.engine;
  const choice = detectBestEngine(info, { forceEngine });
  if (choice.engine === "llama_cpp" || choice.engine === "dummy") return choice;
  const advice = `this version does not start ${choice.engine} by itself; start it yourself and name its URL under \`backends\``;
  if (forceEngine !== undefined) throw new Error(`engine ${forceEngine}: ${advice}`);
  return {
    engine: "llama_cpp",
    reason: "llama.cpp in this process",
    warning: `${choice.reason} But ${advice}.`,
  };
}

function createLocalEngine(choice: EngineChoice, config: Config, info: PlatformInfo, log: Log): Engine {
  if (choice.engine === "dummy") return createDummyEngine();
  return createLlamaCppEngine({
    ...config.llamaCpp,
    cacheDir: config.downloads.cacheDir ?? defaultCacheDir(),
    cpuBudget: info.cpuBudget,
    memoryBytes: info.memoryAvailableBytes,
    gpu: info.gpus.length > 0,
    log,
  });
}

async function loadModels(engine: Engine, config: Config): Promise<void> {
  const { cacheDir, endpoint, token } = config.downloads;
  for (const { id, source } of config.models) {
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

/** The first signal drains and exits with 0; a second one ends at once. */
function stopOnSignal(server: RunningServer, log: Log): void {
  let firstAt: number | undefined;
  const stop = (signal: NodeJS.Signals) => {
    const now = performance.now();
    if (firstAt !== undefined) {
      if (now - firstAt > SAME_PRESS_MS) process.exit(signal === "SIGINT" ? 130 : 143);
      return;
    }
    firstAt = now;
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
}
