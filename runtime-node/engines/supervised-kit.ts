import type { Dialect } from "../../functions/backends/dialect.ts";
import type { Command } from "./process-child.ts";

/** What differs between the engines that run as processes of their own. */
export interface EngineKit {
  readonly engine: "vllm" | "mlx" | "llama_server";
  /** The command line that serves `model` on loopback. Throws an Error that says what is missing. `signal`: no longer wanted. */
  command(model: HostedModel, port: number, key: string, signal: AbortSignal): Command | Promise<Command>;
  /** What the process calls the model: sent in its place. */
  servedName(model: HostedModel): string;
  dialect(model: HostedModel): Dialect;
  /** The stage of a start that a line of its log tells of. */
  progressOf(line: string): string | undefined;
  /** A line after which it is of no use, though it may run on. */
  isFatal(line: string): boolean;
}

export interface HostedModel {
  readonly id: string;
  /** As in the configuration: a path, `hf:user/repo`. */
  readonly source: string;
  /** Tokens of prompt and completion together, where known. */
  readonly contextSize?: number | undefined;
  /** What it takes when loaded; 0 where that is not known. */
  readonly bytes: number;
  readonly ttlMs?: number | undefined;
}

/** Whether vLLM and MLX can load it: not the demo model, not a GGUF. */
export function isHuggingFaceModel(source: string): boolean {
  return !/\.gguf$|^demo$|^https?:/i.test(source) && !/^hf:[^/]+\/[^:#]+:/.test(source);
}

/** What a Hugging Face engine loads: a directory, or a repository's name. Throws an Error for a GGUF. */
export function huggingFaceModel(
  engine: string,
  source: string,
): { readonly model: string; readonly isLocal: boolean } {
  if (!isHuggingFaceModel(source)) {
    throw new Error(
      `${engine} loads Hugging Face directories and repositories, and \`${source}\` is none. Name a directory, or hf:user/repo.`,
    );
  }
  if (!source.startsWith("hf:")) return { model: source, isLocal: true };
  return { model: source.slice(3).replace(/#.*$/, ""), isLocal: false };
}

/** Flags that Sluice sets itself: another value would cut it off from its engine. */
export function refuseOwnFlags(engine: string, args: readonly string[], own: readonly string[]): void {
  for (const arg of args) {
    const flag = arg.split("=")[0] ?? arg;
    if (own.includes(flag))
      throw new Error(`${engine}: \`${flag}\` can't be set in \`args\`: Sluice sets it itself.`);
  }
}

/** Flags with their values; what is undefined or false is left out, true is the bare flag. */
export function flags(
  values: Readonly<Record<string, string | number | boolean | undefined>>,
): readonly string[] {
  return Object.entries(values).flatMap(([name, value]) => {
    if (value === undefined || value === false) return [];
    return value === true ? [`--${name}`] : [`--${name}`, String(value)];
  });
}

/** For every Python engine: logs at once, no telemetry, and no network where the model is here. */
export function pythonEnvironment(isLocal: boolean): Record<string, string> {
  return {
    PYTHONUNBUFFERED: "1",
    DO_NOT_TRACK: "1",
    HF_HUB_DISABLE_TELEMETRY: "1",
    ...(isLocal ? { HF_HUB_OFFLINE: "1" } : {}),
  };
}

/** `Loading weights: 40%`, of a progress bar's drawing. */
export function percentOf(line: string): string | undefined {
  return /(?:^|[^\d.])(\d{1,3}(?:\.\d+)?%)/.exec(line)?.[1];
}
