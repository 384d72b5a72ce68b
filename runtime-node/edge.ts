import { spawn } from "node:child_process";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { ConfigError } from "../shared/config.ts";
import { edgeConfigJson } from "./config-file.ts";

export interface BuildWorkerOptions {
  /** Where the bundle `worker.js` goes. */
  readonly outdir: string;
  /**
   * JavaScript that stands for the configuration: JSON, or a name such as `globalThis.SLUICE_CONFIG`, so that one
   * bundle serves tests with many configurations.
   */
  readonly configExpression: string;
  /** Further arguments for wrangler. */
  readonly args?: readonly string[];
  /** Whether wrangler's own words are shown; they are on stderr when it fails, shown or not. */
  readonly isQuiet?: boolean;
}

type Command = "dev" | "build" | "deploy";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const DEFAULT_PORT = 8000;

/** The configuration travels on wrangler's command line: Windows takes 32,767 characters, Linux 131,071 an argument. */
const MAX_CONFIG_LENGTH = process.platform === "win32" ? 28_000 : 120_000;

/** Nothing is sent to or asked of the network that the task itself doesn't need. */
const QUIET_ENV = {
  WRANGLER_SEND_METRICS: "false",
  WRANGLER_SEND_ERROR_REPORTS: "false",
  WRANGLER_HIDE_BANNER: "true",
  CLOUDFLARE_CF_FETCH_ENABLED: "false",
};

/** What wrangler needs of the environment; in `dev` all that it gets becomes bindings of the Worker. */
const TOOL_ENV =
  /^(PATH|HOME|USER|USERPROFILE|APPDATA|LOCALAPPDATA|TEMP|TMP|TMPDIR|SYSTEMROOT|COMSPEC|PATHEXT|TERM|CI|NO_COLOR|FORCE_COLOR|NODE_EXTRA_CA_CERTS|XDG_.*)$/i;

/** Bundles the Worker as it would be deployed. Rejects with wrangler's words when it can't. */
export async function buildWorker({
  outdir,
  configExpression,
  args = [],
  isQuiet = true,
}: BuildWorkerOptions): Promise<string> {
  const code = await runWrangler(
    ["deploy", "--dry-run", `--outdir=${outdir}`, defineConfig(configExpression), ...args],
    isQuiet,
  );
  if (code !== 0)
    throw new Error(`wrangler deploy --dry-run ended with exit code ${code}; its words are above`);
  return join(outdir, "worker.js");
}

async function main(argv: readonly string[]): Promise<number> {
  const [command, ...rest] = argv;
  const { values, tokens } = parseArgs({
    args: rest,
    options: { config: { type: "string", short: "c" } },
    strict: false,
    tokens: true,
  });
  const own = new Set(
    tokens.flatMap((token) => (token.kind === "option" && token.name === "config" ? ownIndexes(token) : [])),
  );
  const args = rest.filter((_, index) => !own.has(index));
  const json = await edgeConfigJson(
    typeof values.config === "string" ? values.config : undefined,
    process.env,
  );
  switch (command as Command) {
    case "dev":
      return runWrangler(["dev", `--port=${portOf(json)}`, defineConfig(json), ...args], false, {
        ...devEnv(json),
        // As on the host, ${NAME} is taken from the environment; a .dev.vars file comes before it.
        CLOUDFLARE_INCLUDE_PROCESS_ENV: "true",
      });
    case "build":
      await buildWorker({ outdir: join(ROOT, "dist", "edge"), configExpression: json, args, isQuiet: false });
      return 0;
    case "deploy":
      return runWrangler(["deploy", defineConfig(json), ...args], false);
    default:
      console.error(
        "sluice: usage: edge.ts dev | build | deploy [--config sluice.yaml] [arguments for wrangler]",
      );
      return 2;
  }
}

function ownIndexes(token: { index: number; inlineValue?: boolean | undefined }): number[] {
  return token.inlineValue === true ? [token.index] : [token.index, token.index + 1];
}

function defineConfig(expression: string): string {
  if (expression.length > MAX_CONFIG_LENGTH)
    throw new Error(
      `the configuration is ${expression.length} characters long as JSON; at most ${MAX_CONFIG_LENGTH} fit on wrangler's command line`,
    );
  return `--define=SLUICE_CONFIG:${expression}`;
}

/** The port that the host would listen on; `${PORT}` and the like are left to the environment. */
function portOf(json: string): number {
  const raw: unknown = JSON.parse(json);
  const port: unknown = typeof raw === "object" && raw !== null ? Reflect.get(raw, "port") : undefined;
  const fromEnvironment = Number(process.env.SLUICE_PORT || process.env.PORT || Number.NaN);
  if (Number.isInteger(fromEnvironment)) return fromEnvironment;
  return typeof port === "number" ? port : DEFAULT_PORT;
}

/** This process's environment, less what neither wrangler nor the configuration names. */
function devEnv(json: string): NodeJS.ProcessEnv {
  const named = new Set(Array.from(json.matchAll(/\$\{([A-Za-z_]\w*)/g), ([, name]) => name));
  return Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => named.has(name) || name.startsWith("SLUICE_") || TOOL_ENV.test(name),
    ),
  );
}

function runWrangler(
  args: readonly string[],
  isQuiet: boolean,
  env: NodeJS.ProcessEnv = process.env,
): Promise<number> {
  const manifest = fileURLToPath(import.meta.resolve("wrangler/package.json"));
  const child = spawn(process.execPath, [join(dirname(manifest), "bin", "wrangler.js"), ...args], {
    cwd: ROOT,
    stdio: ["inherit", isQuiet ? "ignore" : "inherit", "inherit"],
    env: { ...env, ...QUIET_ENV },
  });
  const signals: readonly NodeJS.Signals[] = ["SIGINT", "SIGTERM", "SIGHUP"];
  const forward = (signal: NodeJS.Signals): void => {
    child.kill(signal);
  };
  for (const signal of signals) process.on(signal, forward);
  return new Promise<number>((done, failed) => {
    child.once("error", failed);
    child.once("exit", (code, signal) => {
      for (const name of signals) process.off(name, forward);
      done(signal === null ? (code ?? 1) : 128 + constants.signals[signal]);
    });
  });
}

if (import.meta.main) {
  try {
    process.exitCode = await main(process.argv.slice(2));
  } catch (error) {
    console.error(`sluice: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = error instanceof ConfigError ? 2 : 1;
  }
}
