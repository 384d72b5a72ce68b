import {
  formatPath,
  HIDDEN,
  inputSchema,
  isMapping,
  isSecret,
  type Keys,
  type SchemaNode,
  schemaAt,
} from "./config-paths.ts";
import { type ConfigProblem, nearest, type Origin } from "./config-problems.ts";

/** `process.env` on the host, the bindings of a Worker at the edge: only strings are read. */
export type Env = Readonly<Record<string, unknown>>;

/** A configuration with the environment worked into it, before it is checked. */
export interface Layered {
  readonly value: unknown;
  /** By the path of the value. */
  readonly origins: ReadonlyMap<string, Origin>;
  readonly problems: readonly ConfigProblem[];
}

export interface Setting {
  readonly variable: string;
  readonly keys: readonly string[];
}

/** Plain names that other tools know. The `SLUICE_…` name of the same key wins. */
const PLAIN_NAMES: Readonly<Record<string, readonly string[]>> = {
  HOST: ["host"],
  PORT: ["port"],
  INFERENCE_ENGINE: ["engine"],
  HF_ENDPOINT: ["downloads", "endpoint"],
  HF_TOKEN: ["downloads", "token"],
};

/** The first model's source: the one key inside a list that has a variable. */
const MODEL_VARIABLE = "SLUICE_MODEL";

/** Read elsewhere: where the file is. */
const OTHER_VARIABLES: readonly string[] = ["SLUICE_CONFIG"];

/**
 * Every key outside `models` and `backends` with its one `SLUICE_…` variable: the path in upper case, words and
 * levels joined by `_` (`limits.drainMs` is `SLUICE_LIMITS_DRAIN_MS`). Derived from the schema.
 */
export function settings(
  schema: SchemaNode = inputSchema(),
  keys: readonly string[] = [],
): readonly Setting[] {
  return Object.entries(schema.properties ?? {}).flatMap(([key, child]) => {
    if (typeof child !== "object") return [];
    const path = [...keys, key];
    if (child.properties !== undefined) return settings(child, path);
    const isList = child.type === "array";
    const isPlain = isList
      ? typeof child.items === "object" && "type" in child.items && child.items.type === "string"
      : true;
    return isPlain ? [{ variable: variableName(path), keys: path }] : [];
  });
}

function variableName(keys: readonly string[]): string {
  return ["sluice", ...keys].map((key) => key.replace(/([A-Z])/g, "_$1").toUpperCase()).join("_");
}

/**
 * `raw` with the environment's variables in it. They win over the file; an empty variable counts as not set; lists
 * are comma-separated. A `SLUICE_…` variable that means nothing is a problem, so that a typo is not silently
 * without effect; those that Kubernetes sets for a service called `sluice` are not.
 */
export function applyEnv(raw: unknown, env: Env): Layered {
  const assignments: { variable: string; keys: Keys; text: string }[] = [];
  for (const [variable, keys] of Object.entries(PLAIN_NAMES)) {
    const text = readVariable(env, variable);
    if (text !== undefined) assignments.push({ variable, keys, text });
  }
  const problems: ConfigProblem[] = [];
  const names = Object.keys(env)
    .filter((name) => name.startsWith("SLUICE_"))
    .sort();
  const known = names.length === 0 ? [] : settings();
  for (const variable of names) {
    const text = readVariable(env, variable);
    if (text === undefined || OTHER_VARIABLES.includes(variable) || isServiceLink(variable, text)) continue;
    const keys =
      variable === MODEL_VARIABLE
        ? ["models", 0, "source"]
        : known.find((s) => s.variable === variable)?.keys;
    if (keys !== undefined) assignments.push({ variable, keys, text });
    else problems.push(unknownVariable(variable, known));
  }
  return { ...assign(raw, assignments), problems };
}

/** `layered` with values from the command line, which win over everything: `setBy` is the flag. */
export function applyFlags(
  layered: Layered,
  flags: readonly { readonly flag: string; readonly keys: Keys; readonly text: string | undefined }[],
): Layered {
  const given = flags.flatMap(({ flag, keys, text }) =>
    text === undefined ? [] : [{ variable: flag, keys, text }],
  );
  const { value, origins } = assign(layered.value, given);
  return { ...layered, value, origins: new Map([...layered.origins, ...origins]) };
}

/**
 * `raw` with `${NAME}` and `${NAME:-default}` in its strings replaced from the environment; `$${` stands for `${`.
 * A string that is one reference and nothing else becomes a number or boolean where the schema wants one. Keys
 * without a value are left out: YAML reads `limits:` as null when everything under it is commented out, and
 * `${NAME:-}` without NAME is how a setting is made optional.
 */
export function interpolate(raw: unknown, env: Env): Layered {
  const origins = new Map<string, Origin>();
  const problems: ConfigProblem[] = [];
  const walk = (value: unknown, keys: Keys): unknown => {
    if (Array.isArray(value)) return value.map((item, index) => walk(item, [...keys, index]));
    if (isMapping(value)) {
      return Object.fromEntries(
        Object.entries(value)
          .filter(([, child]) => child !== null)
          .map(([key, child]) => [key, walk(child, [...keys, key])])
          .filter(([, child]) => child !== undefined),
      );
    }
    if (typeof value !== "string" || !value.includes("${")) return value;
    const unset: string[] = [];
    const text = value.replace(REFERENCE, (match, name?: string, fallback?: string) => {
      if (match === "$${") return "${";
      const found = name === undefined ? undefined : (readVariable(env, name) ?? fallback);
      if (found === undefined) unset.push(name ?? match);
      return found ?? "";
    });
    const path = formatPath(keys);
    origins.set(path, { template: value, isUnset: unset.length > 0 });
    for (const name of unset) {
      const isMalformed = name.startsWith("$");
      const message = isMalformed
        ? `\`${path}\` has a \${ that is no reference; allowed: \${NAME} or \${NAME:-default}, and $\${ for the characters themselves`
        : `\`${path}\` needs the environment variable ${name}, which is not set; set it, or write \${${name}:-default}`;
      problems.push({
        path,
        keys,
        found: isSecret(keys) ? HIDDEN : value,
        message,
        ...(isMalformed ? {} : { variable: name }),
      });
    }
    const isReference = /^\$\{[^}]*\}$/.test(value);
    if (!isReference || unset.length > 0) return text;
    return text === "" ? undefined : coerce(text, schemaAt(keys));
  };
  return { value: walk(raw, []), origins, problems };
}

const REFERENCE = /\$\$\{|\$\{([A-Za-z_]\w*)(?::-([^}]*))?\}|\$\{[^}]*\}?/g;

function readVariable(env: Env, name: string): string | undefined {
  const value = env[name];
  return typeof value === "string" && value !== "" ? value : undefined;
}

function assign(raw: unknown, assignments: readonly { variable: string; keys: Keys; text: string }[]) {
  const origins = new Map<string, Origin>();
  let value = raw;
  for (const { variable, keys, text } of assignments) {
    value = withValue(value, keys, coerce(text, schemaAt(keys)));
    origins.set(formatPath(keys), { setBy: variable });
  }
  return { value, origins };
}

/** A copy of `root` with `value` at `keys`. What is no mapping or list is left for the schema to refuse. */
function withValue(root: unknown, keys: Keys, value: unknown): unknown {
  const [key, ...rest] = keys;
  if (key === undefined) return value;
  if (typeof key === "number") {
    if (root !== undefined && root !== null && !Array.isArray(root)) return root;
    const list: unknown[] = [...(root ?? [])];
    list[key] = withValue(list[key], rest, value);
    return list;
  }
  if (root !== undefined && root !== null && !isMapping(root)) return root;
  return { ...root, [key]: withValue(root?.[String(key)], rest, value) };
}

/** `text` as the type that the schema wants. What doesn't read as one stays text, which the schema then refuses. */
function coerce(text: string, schema: SchemaNode | undefined): unknown {
  for (const branch of schema?.anyOf ?? [schema]) {
    switch (branch?.type) {
      case "integer":
      case "number":
        if (/^[+-]?\d+(\.\d+)?$/.test(text.trim())) return Number(text);
        break;
      case "boolean":
        if (/^(true|1)$/i.test(text)) return true;
        if (/^(false|0)$/i.test(text)) return false;
        break;
      case "array":
        return text
          .split(",")
          .map((item) => item.trim())
          .filter((item) => item !== "");
    }
  }
  return text;
}

function unknownVariable(variable: string, known: readonly Setting[]): ConfigProblem {
  const names = [...known.map((setting) => setting.variable), MODEL_VARIABLE, ...OTHER_VARIABLES];
  const guess = nearest(variable, names);
  const help =
    guess === undefined ? "names are the key's path, as in SLUICE_LIMITS_DRAIN_MS" : `did you mean ${guess}?`;
  return { path: variable, keys: [], found: "set", message: `\`${variable}\` sets nothing; ${help}` };
}

/**
 * Kubernetes puts SLUICE_PORT=tcp://…, SLUICE_SERVICE_HOST and their like into every pod beside a service called
 * `sluice` (docs, "Environment variables" of services); vLLM's users know the trap as VLLM_PORT.
 */
function isServiceLink(variable: string, text: string): boolean {
  return (
    /_SERVICE_(HOST|PORT(_\w+)?)$/.test(variable) ||
    /_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/.test(variable) ||
    (variable.endsWith("_PORT") && /^(tcp|udp|sctp):\/\//.test(text))
  );
}
