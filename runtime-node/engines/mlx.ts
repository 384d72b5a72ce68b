import { mlxDialect } from "./mlx-dialect.ts";
import { readMlxModel } from "./mlx-model.ts";
import type { PythonInstall } from "./process-python.ts";
import {
  type EngineKit,
  flags,
  huggingFaceModel,
  percentOf,
  pythonEnvironment,
  refuseOwnFlags,
} from "./supervised-kit.ts";

/** `mlx` in the configuration. */
export interface MlxSettings {
  /** Sequences that generate, and that compute prompts, at the same time. */
  readonly sequences?: number | undefined;
  readonly promptSequences?: number | undefined;
  readonly prefillChunk?: number | undefined;
  readonly adapter?: string | undefined;
  readonly chatTemplate?: string | undefined;
  readonly contextSize?: number | undefined;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export interface MlxOptions {
  readonly install: PythonInstall;
  readonly settings: MlxSettings;
}

const OWN_FLAGS = ["--host", "--port", "--model", "--allowed-origins", "--log-level"];

/** mlx_lm.server as a process of ours. It knows no key: only its random port on loopback keeps others out. */
export function mlxKit({ install, settings }: MlxOptions): EngineKit {
  return {
    engine: "mlx",
    command: ({ source }, port) => {
      const { model, isLocal } = huggingFaceModel("MLX", source);
      const args = buildMlxArgs(settings, model, port);
      const env = { ...pythonEnvironment(isLocal), ...settings.env };
      if (install.command !== undefined) return { file: install.command, args, env };
      return { file: install.python, args: ["-m", "mlx_lm.server", ...args], env };
    },
    servedName: () => "default_model",
    dialect: ({ source, contextSize = settings.contextSize }) => {
      const facts = readMlxModel(source);
      return mlxDialect({ ...facts, ...(contextSize === undefined ? {} : { contextSize }) });
    },
    progressOf: mlxProgress,
    // Its HTTP goes on after its work thread died (mlx-lm#1505); its thread after its HTTP could not start.
    isFatal: (line) =>
      /generation thread died|Exception in thread .*(_generate|_run_generate)|Address already in use/.test(
        line,
      ),
  };
}

export function buildMlxArgs(settings: MlxSettings, model: string, port: number): readonly string[] {
  const { args = [] } = settings;
  refuseOwnFlags("mlx", args, OWN_FLAGS);
  return [
    ...flags({
      model,
      host: "127.0.0.1",
      port,
      "adapter-path": settings.adapter,
      "chat-template": settings.chatTemplate,
      "decode-concurrency": settings.sequences,
      "prompt-concurrency": settings.promptSequences,
      "prefill-step-size": settings.prefillChunk,
    }),
    ...args,
  ];
}

export function mlxProgress(line: string): string | undefined {
  if (/Fetching \d+ files|Downloading/i.test(line))
    return `downloads${percentOf(line) === undefined ? "" : ` (${percentOf(line)})`}`;
  return /Starting httpd/.test(line) ? "loads weights" : undefined;
}
