import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import OpenAI from "openai";

export interface Served {
  readonly client: OpenAI;
  /** Ends it as a terminal or a service manager would, and resolves with its exit code. */
  stop(): Promise<number | null>;
}

/** Below the tests' own limits, so that nothing outlives them. */
const START_LIMIT_MS = 150_000;

const isWindows = process.platform === "win32";

/** `node` is the Node that runs the tests, whatever the system has; the ledger is theirs alone. */
export const childEnv: NodeJS.ProcessEnv = {
  ...process.env,
  PATH: `${dirname(process.execPath)}${delimiter}${process.env.PATH ?? ""}`,
  NODE_LLAMA_CPP_SKIP_DOWNLOAD: "true",
  XDG_DATA_HOME: mkdtempSync(join(tmpdir(), "sluice-data-")),
};

/** Runs npm to its end. `isOffline`: it failed because packages could neither be found in its cache nor fetched. */
export function npm(
  args: readonly string[],
  cwd: string,
): { ok: boolean; output: string; isOffline: boolean } {
  const script = process.env.npm_execpath;
  const { status, stdout, stderr } = script?.endsWith("npm-cli.js")
    ? spawnSync(process.execPath, [script, ...args], { cwd, env: childEnv, encoding: "utf8" })
    : spawnSync("npm", [...args], { cwd, env: childEnv, encoding: "utf8", shell: isWindows });
  const output = `${stdout}${stderr}`;
  const isOffline = /ENOTCACHED|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ECONNREFUSED|ECONNRESET|ENETUNREACH/.test(
    output,
  );
  return { ok: status === 0, output, isOffline };
}

/** Starts a command that serves on a free port; resolves once it has printed its address. */
export async function serve(command: string, args: readonly string[], cwd: string): Promise<Served> {
  const child = spawn(command, args, {
    cwd,
    env: childEnv,
    stdio: ["ignore", "pipe", "pipe"],
    shell: isWindows && command === "npm",
    detached: !isWindows,
  });
  const limit = setTimeout(() => end(child, "SIGKILL"), START_LIMIT_MS);
  const baseURL = await addressOf(child).finally(() => clearTimeout(limit));
  return {
    client: new OpenAI({ baseURL, apiKey: "none" }),
    async stop() {
      const closed = once(child, "close");
      end(child, "SIGTERM");
      const [code] = await closed;
      return code;
    },
  };
}

/** With all that it started: they share its process group. */
function end(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined || child.exitCode !== null) return;
  if (isWindows) spawnSync("taskkill", ["/pid", String(child.pid), "/t", "/f"]);
  else process.kill(-child.pid, signal);
}

async function addressOf(child: ChildProcess): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let output = "";
  const read = (chunk: Buffer): void => {
    output += chunk;
    const url = /http:\/\/[\w.:[\]-]+\/v1/.exec(output)?.[0];
    if (url !== undefined) resolve(url);
  };
  child.stdout?.on("data", read);
  child.stderr?.on("data", (chunk: Buffer) => {
    output += chunk;
  });
  child.once("error", reject);
  child.once("close", (code) =>
    reject(new Error(`ended with exit code ${code} before it served:\n${output}`)),
  );
  return promise;
}
