import { existsSync } from "node:fs";
import { createServer } from "node:net";
import { basename } from "node:path";
import type { Command } from "commander";
import { createHttpEngine } from "../../functions/backends/http-engine.ts";
import { createLog } from "../../functions/log.ts";
import type { Config } from "../../shared/config.ts";
import type { PlatformInfo } from "../../shared/detector.ts";
import { accessOf } from "../access.ts";
import { readConfig } from "../config-file.ts";
import { type DoctorEffects, examine } from "../doctor.ts";
import { doctorTable } from "../doctor-table.ts";
import { createLlamaCppEngine } from "../engines/llama-cpp.ts";
import { findPython } from "../engines/process-python.ts";
import { ledgerPath, ledgerPlace, openStore } from "../ledger/open-store.ts";
import { defaultCacheDir, resolveModel } from "../models/download.ts";
import { getPlatformInfo } from "../probe.ts";
import { findCommand, thisMachine } from "../probe-effects.ts";
import { createTransport } from "../transport.ts";

interface DoctorFlags {
  readonly config?: string;
  readonly json?: boolean;
  readonly quick?: boolean;
}

/** A backend that can't list its models in this time counts as not there, in ms. */
const BACKEND_MS = 5000;

export function configureDoctor(command: Command): void {
  command
    .option("-c, --config <file>", "configuration file (default: sluice.yaml, or SLUICE_CONFIG)")
    .option("--json", "print JSON instead of a table")
    .option("--quick", "don't load the models")
    .action(doctor);
}

async function doctor(flags: DoctorFlags): Promise<void> {
  const info = await getPlatformInfo({ isThorough: true, timeoutMs: 10_000 });
  const report = await examine(effectsOf(info, flags));
  process.stdout.write(
    flags.json === true ? `${JSON.stringify({ ...report, platform: info }, null, 2)}\n` : doctorTable(report),
  );
  process.exitCode = report.canServe ? 0 : 1;
}

function effectsOf(info: PlatformInfo, flags: DoctorFlags): DoctorEffects {
  let config: Config | undefined;
  return {
    info,
    readConfig: async () => {
      const read = await readConfig({ path: flags.config, env: process.env });
      config = read.config;
      return read;
    },
    listen: portProblem,
    findPython: (engine, venv) => findPython(engine, venv, thisMachine(process.env)),
    findCommand: (command) => {
      const machine = thisMachine(process.env);
      if (command === basename(command)) return findCommand(machine, command);
      return machine.isExecutable(command) ? command : undefined;
    },
    tryModel: async (choice, model) => {
      if (/^(hf:|https?:)/.test(model.source)) return "remote";
      if (config === undefined || flags.quick === true || choice.engine !== "llama_cpp") return "untried";
      return await loadOnce(config, info, model);
    },
    findAccess: async (read) => {
      const ledger = ledgerPlace(read);
      // Looking must not make a file; where none is there yet, only the configuration can hold keys.
      const isThere = read.ledger.store !== "sqlite" || existsSync(ledgerPath(read.ledger));
      const opened = isThere ? read : { ...read, ledger: { store: "memory" as const } };
      const store = await openStore(
        opened,
        createLog("error", () => {}),
      );
      try {
        return {
          ledger: isThere ? ledger : `${ledger}, made at the first start`,
          access: await accessOf(read, store.directory),
        };
      } finally {
        await store.close();
      }
    },
    countModels: async ({ id, url, apiKey, headers = {}, connectTimeoutMs }) => {
      const { transport, close } = createTransport(Math.min(connectTimeoutMs, BACKEND_MS));
      const limits = { headersTimeoutMs: BACKEND_MS, idleTimeoutMs: BACKEND_MS };
      const engine = createHttpEngine({ id, url, apiKey, headers, models: "any", ...limits, transport });
      try {
        return (await engine.models(AbortSignal.timeout(BACKEND_MS))).length;
      } finally {
        await close();
      }
    },
  };
}

/** Loads the model as the server would, and frees it. */
async function loadOnce(config: Config, info: PlatformInfo, model: Config["models"][number]) {
  const { cacheDir, endpoint, token } = config.downloads;
  const { path } = await resolveModel(model.source, { cacheDir, endpoint, token });
  const quiet = () => {};
  const engine = createLlamaCppEngine({
    ...config.llamaCpp,
    cacheDir: cacheDir ?? defaultCacheDir(),
    cpuBudget: info.cpuBudget,
    memoryBytes: info.memoryAvailableBytes,
    gpu: info.gpus.length > 0,
    log: { debug: quiet, info: quiet, warn: quiet },
  });
  try {
    await engine.initialize();
    await engine.loadModel(model.id, path);
    return engine.status();
  } finally {
    await engine.close();
  }
}

/** Node's error code when nothing can listen there. */
function portProblem(host: string, port: number): Promise<string | undefined> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once("error", (error) => resolve("code" in error ? String(error.code) : error.message));
    server.listen(port, host, () => server.close(() => resolve(undefined)));
  });
}
