import { existsSync, readFileSync } from "node:fs";
import type { Document } from "yaml";
import {
  type Config,
  ConfigError,
  type ConfigFlags,
  type ConfigProblem,
  checkConfig,
  type Env,
  type ParseOptions,
  parseConfig,
} from "../shared/config.ts";

export interface ReadConfigOptions {
  /** What `--config` named. */
  readonly path?: string | undefined;
  readonly env: Env;
  /** What the command line sets; wins over the environment and the file. */
  readonly overrides?: ConfigFlags;
}

export interface ReadConfig {
  readonly config: Config;
  /** The file that was read; absent where there was none. */
  readonly path?: string;
}

const DEFAULT_PATH = "sluice.yaml";

/**
 * The configuration from `path`, else the file that `SLUICE_CONFIG` names, else `./sluice.yaml` where it exists,
 * else from the environment and the defaults alone. Throws a `ConfigError` that names every problem, with file,
 * line and column.
 */
export async function readConfig({ path, env, overrides = {} }: ReadConfigOptions): Promise<ReadConfig> {
  const file = findFile(path, env);
  if (file === undefined) return { config: parseConfig(undefined, env, { flags: overrides }) };
  const { raw, locate } = await readYaml(file);
  return { config: parseConfig(raw, env, { flags: overrides, file, locate }), path: file };
}

/**
 * The file as JSON for the Worker, found as `readConfig` finds it. `${NAME}` stays as it is, so that no secret gets
 * into the bundle; the Worker's bindings fill it in. Throws a `ConfigError` for what no binding can put right.
 */
export async function edgeConfigJson(path: string | undefined, env: Env): Promise<string> {
  const file = findFile(path, env);
  if (file === undefined) return "{}";
  const { raw, locate } = await readYaml(file);
  // Nothing from this machine's environment: at the edge it is not there.
  checkConfig(raw, {}, { file, locate });
  return JSON.stringify(raw ?? {});
}

function findFile(path: string | undefined, env: Env): string | undefined {
  const named = env.SLUICE_CONFIG;
  if (path !== undefined) return path;
  if (typeof named === "string" && named !== "") return named;
  return existsSync(DEFAULT_PATH) ? DEFAULT_PATH : undefined;
}

interface Yaml {
  readonly raw: unknown;
  readonly locate: NonNullable<ParseOptions["locate"]>;
}

async function readYaml(file: string): Promise<Yaml> {
  const text = readText(file);
  // Not at the top: a start without a file needn't load a YAML parser.
  const yaml = await import("yaml");
  const lines = new yaml.LineCounter();
  const document = yaml.parseDocument(text, { lineCounter: lines, prettyErrors: false, merge: true });
  const place = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${file}:${line}:${col}`;
  };
  if (document.errors.length > 0) {
    const problems = document.errors.map((error) => notYaml(place(error.pos[0]), error.message));
    throw new ConfigError(problems, { file, cause: document.errors[0] });
  }
  return {
    raw: toPlain(document, file),
    locate: (keys) => {
      const offset = offsetOf(yaml, document.contents, keys);
      return offset === undefined ? undefined : place(offset);
    },
  };
}

/** Throws a `ConfigError` for aliases that lead nowhere, or to far too much. */
function toPlain(document: Document, file: string): unknown {
  try {
    return document.toJS();
  } catch (cause) {
    throw new ConfigError([notYaml(file, cause instanceof Error ? cause.message : String(cause))], { cause });
  }
}

function notYaml(place: string, reason: string): ConfigProblem {
  return { path: place, keys: [], found: "", message: `${place}: no valid YAML: ${reason}` };
}

/** Where the innermost key or item that exists on the way to `keys` begins. */
function offsetOf(
  yaml: typeof import("yaml"),
  root: unknown,
  keys: readonly PropertyKey[],
): number | undefined {
  let node = root;
  let offset: number | undefined;
  for (const key of keys) {
    if (yaml.isMap(node)) {
      const pair = node.items.find((item) => yaml.isScalar(item.key) && item.key.value === key);
      if (!yaml.isScalar(pair?.key)) return offset;
      offset = pair.key.range?.[0];
      node = pair.value;
    } else if (yaml.isSeq(node) && typeof key === "number") {
      node = node.items[key];
      if (!yaml.isNode(node)) return offset;
      offset = node.range?.[0];
    } else return offset;
  }
  return offset;
}

function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const message = `\`${file}\` can't be read (${reason}); name a file with --config or SLUICE_CONFIG`;
    throw new ConfigError([{ path: file, keys: [], found: "", message }], { cause });
  }
}
