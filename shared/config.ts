import { applyEnv, applyFlags, type Env, interpolate, type Layered } from "./config-env.ts";
import { inputSchema, type Keys, type SchemaNode } from "./config-paths.ts";
import { ConfigError, problemsOf } from "./config-problems.ts";
import { type Config, configSchema } from "./config-schema.ts";

export { applyEnv, type Env } from "./config-env.ts";
export { ConfigError, type ConfigProblem } from "./config-problems.ts";
export { type BackendConfig, type Config, configSchema, type ModelConfig } from "./config-schema.ts";

/** What the command line sets; wins over the environment, which wins over the file. */
export interface ConfigFlags {
  readonly host?: string | undefined;
  readonly port?: string | undefined;
  readonly engine?: string | undefined;
  readonly model?: string | undefined;
}

export interface ParseOptions {
  readonly flags?: ConfigFlags;
  /** The file's name, for the error's message. */
  readonly file?: string;
  /** Where in the file a value is, for the error's message. */
  readonly locate?: (keys: Keys) => string | undefined;
}

/**
 * The configuration from what a file holds (`undefined` for no file) and the environment. At the edge `env` is the
 * Worker's bindings.
 *
 * Values in order: flags, `SLUICE_…` variables, plain ones (`HOST`, `PORT`, `INFERENCE_ENGINE`, `HF_ENDPOINT`,
 * `HF_TOKEN`), the file with its `${NAME}` replaced, defaults. A key without a value counts as left out. Throws a `ConfigError` that names every problem.
 *
 * @example
 * const config = parseConfig({ port: 9000 }, process.env);
 */
export function parseConfig(raw: unknown, env: Env, options: ParseOptions = {}): Config {
  const { flags = {}, ...source } = options;
  const file = interpolate(raw ?? {}, env);
  const layered = applyFlags(over(file, applyEnv(file.value, env)), [
    { flag: "--host", keys: ["host"], text: flags.host },
    { flag: "--port", keys: ["port"], text: flags.port },
    { flag: "--engine", keys: ["engine"], text: flags.engine },
    { flag: "--model", keys: ["models", 0, "source"], text: flags.model },
  ]);
  const parsed = configSchema.safeParse(layered.value);
  const issues = parsed.success ? [] : problemsOf(parsed.error.issues, layered.value, layered.origins);
  // A reference that a variable or a flag overrides needs no value.
  const needed = layered.problems.filter(({ path }) => layered.origins.get(path)?.setBy === undefined);
  if (!parsed.success || needed.length > 0) throw new ConfigError([...needed, ...issues], source);
  return parsed.data;
}

/**
 * Throws a `ConfigError` when `raw` can't be right whatever the environment holds: what `build:edge` asks where the
 * secrets are not. A value with a reference to a variable that isn't set passes.
 */
export function checkConfig(raw: unknown, env: Env, options: Omit<ParseOptions, "flags"> = {}): void {
  const { value, origins, problems: references } = interpolate(raw ?? {}, env);
  const parsed = configSchema.safeParse(value);
  const issues = parsed.success ? [] : problemsOf(parsed.error.issues, value, origins);
  const problems = [...references.filter(({ variable }) => variable === undefined), ...issues];
  if (problems.length > 0) throw new ConfigError(problems, options);
}

/** The JSON Schema for editors, `shared/config.schema.json`: what the file may hold, `${NAME}` included. */
export function configJsonSchema(): SchemaNode {
  return {
    ...withReferences(structuredClone(inputSchema())),
    title: "sluice.yaml",
    definitions: {
      reference: {
        type: "string",
        pattern: "\\$\\{[A-Za-z_]",
        description: `\${NAME} from the environment.`,
      },
    },
  };
}

/** Lets every value that isn't free text be written as a reference too. */
function withReferences(node: SchemaNode): SchemaNode {
  const { description, default: fallback, ...rest } = node;
  const isFreeText = rest.type === "string" && !("pattern" in rest || "enum" in rest || "const" in rest);
  if (rest.type !== "object" && rest.type !== "array" && !isFreeText) {
    const branches = rest.anyOf ?? [rest];
    return {
      ...(description === undefined ? {} : { description }),
      ...(fallback === undefined ? {} : { default: fallback }),
      anyOf: [
        ...branches.map((branch) => (branch.type === "object" ? withReferences(branch) : branch)),
        { $ref: "#/definitions/reference" },
      ],
    };
  }
  const copy: SchemaNode = { ...node };
  if (node.properties !== undefined) {
    copy.properties = Object.fromEntries(
      Object.entries(node.properties).map(([key, child]) => [
        key,
        typeof child === "object" ? withReferences(child) : child,
      ]),
    );
  }
  if (typeof node.items === "object" && !Array.isArray(node.items)) copy.items = withReferences(node.items);
  return copy;
}

function over(lower: Layered, upper: Layered): Layered {
  return {
    value: upper.value,
    origins: new Map([...lower.origins, ...upper.origins]),
    problems: [...lower.problems, ...upper.problems],
  };
}
