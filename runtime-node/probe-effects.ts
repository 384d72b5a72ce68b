import { execFile } from "node:child_process";
import { accessSync, constants, readdirSync, readFileSync } from "node:fs";
import os from "node:os";

/** What the probe may ask of a machine; tests answer for machines that aren't there. */
export interface MachineEffects {
  /** As in `process.platform` and `process.arch`. */
  readonly platform: string;
  readonly arch: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** A file's text, or undefined where it can't be read. */
  readText(path: string): string | undefined;
  /** The names in a directory; none where it can't be read. */
  list(directory: string): readonly string[];
  isExecutable(path: string): boolean;
  run(command: string, commandArguments: readonly string[], timeoutMs: number): Promise<RunResult>;
  cpus(): { readonly model: string; readonly count: number; readonly available: number };
  memory(): { readonly totalBytes: number; readonly freeBytes: number };
}

export type RunResult =
  | { readonly ok: true; readonly stdout: string }
  | { readonly ok: false; readonly reason: "failed" | "late" };

export function thisMachine(env: MachineEffects["env"]): MachineEffects {
  return {
    platform: process.platform,
    arch: process.arch,
    env,
    readText,
    list,
    isExecutable,
    run,
    cpus: () => {
      const cpus = os.cpus();
      return { model: cpus[0]?.model ?? "", count: cpus.length, available: os.availableParallelism() };
    },
    memory: () => ({ totalBytes: os.totalmem(), freeBytes: os.freemem() }),
  };
}

/**
 * The command's path: in the active Python environment first, as an activated shell has it, then on PATH, then in
 * `elsewhere`. Undefined where it isn't.
 */
export function findCommand(
  effects: MachineEffects,
  name: string,
  elsewhere: readonly string[] = [],
): string | undefined {
  const isWindows = effects.platform === "win32";
  const { PATH, Path, VIRTUAL_ENV, CONDA_PREFIX } = effects.env;
  const environments = [VIRTUAL_ENV, CONDA_PREFIX].flatMap((prefix) =>
    prefix ? [`${prefix}/${isWindows ? "Scripts" : "bin"}`] : [],
  );
  const onPath = (PATH ?? Path ?? "").split(isWindows ? ";" : ":").filter((directory) => directory !== "");
  const directories = [...environments, ...onPath, ...elsewhere];
  return directories
    .map((directory) => `${directory}/${name}${isWindows ? ".exe" : ""}`)
    .find((path) => effects.isExecutable(path));
}

/** What a tool printed, or undefined where it is no JSON: some print warnings instead. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // No answer is as good as no tool.
  }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined; // Most of what is looked for isn't there on most machines.
  }
}

function list(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    return []; // As above.
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false; // As above.
  }
}

function run(command: string, commandArguments: readonly string[], timeoutMs: number): Promise<RunResult> {
  const options = { timeout: timeoutMs, killSignal: "SIGKILL", windowsHide: true } as const;
  return new Promise((resolve) => {
    execFile(command, [...commandArguments], options, (error, stdout) => {
      if (error === null) resolve({ ok: true, stdout });
      else resolve({ ok: false, reason: error.killed === true ? "late" : "failed" });
    });
  });
}
