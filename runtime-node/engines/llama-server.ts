import { llamaServerDialect } from "./llama-server-dialect.ts";
import { type EngineKit, flags, type HostedModel, percentOf, refuseOwnFlags } from "./supervised-kit.ts";

/** `llamaServer` in the configuration. */
export interface LlamaServerSettings {
  /** The binary, as a path or a name on PATH. */
  readonly command: string;
  /** Tokens of context for each sequence. */
  readonly contextSize?: number | undefined;
  readonly sequences?: number | undefined;
  readonly threads?: number | undefined;
  readonly gpuLayers?: number | undefined;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

const OWN_FLAGS = ["-m", "--model", "--host", "--port", "--api-key", "--alias", "-a"];

/** An external llama-server as a process of ours. `resolve` gives the path of the GGUF that a source names. */
export function llamaServerKit(
  settings: LlamaServerSettings,
  resolve: (source: string, signal: AbortSignal) => Promise<string>,
): EngineKit {
  return {
    engine: "llama_server",
    command: async (model, port, key, signal) => ({
      file: settings.command,
      args: buildLlamaServerArgs(settings, { ...model, source: await resolve(model.source, signal) }, port),
      env: { LLAMA_API_KEY: key, ...settings.env },
    }),
    servedName: ({ id }) => id,
    dialect: () => llamaServerDialect,
    progressOf: llamaServerProgress,
    isFatal: (line) => /couldn't bind .*socket/i.test(line),
  };
}

export function buildLlamaServerArgs(
  settings: LlamaServerSettings,
  { id, source, contextSize = settings.contextSize }: HostedModel,
  port: number,
): readonly string[] {
  const { args = [], sequences } = settings;
  refuseOwnFlags("llama-server", args, OWN_FLAGS);
  return [
    ...flags({ model: source, alias: id, host: "127.0.0.1", port }),
    ...flags({
      // Its -c is for all sequences together.
      "ctx-size": contextSize === undefined ? undefined : contextSize * (sequences ?? 1),
      parallel: sequences,
      threads: settings.threads,
      "gpu-layers": settings.gpuLayers,
      jinja: true,
      "no-webui": true,
    }),
    ...args,
  ];
}

export function llamaServerProgress(line: string): string | undefined {
  if (/server is listening|main loop/.test(line)) return "opens its port";
  if (/load_tensors|loading model/i.test(line))
    return percentOf(line) === undefined ? "loads weights" : `loads weights (${percentOf(line)})`;
  return /kv_cache|llama_context/i.test(line) ? "sets up its cache" : undefined;
}
