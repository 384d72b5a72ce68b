import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import OpenAI from "openai";
import { median } from "./median.ts";

interface Measurement {
  readonly name: string;
  /** Of each run, from the command to the last token of the first answer. */
  readonly seconds: readonly number[];
  /** Acceptance: the median must not be above. */
  readonly limitSeconds: number | undefined;
}

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const TIMEOUT_MS = 300_000;
const usage = `npm run bench:start -- [--runs 5] [--warm-only] [--installed-only] [--json]

Seconds from \`npm start\` to the first chat answer by the official openai client:
  - in a fresh clone of HEAD with an empty npm cache (not with --warm-only)
  - in a fresh clone of HEAD with this user's npm cache
  - in this folder, installed: the median of some runs`;

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "5" },
    "warm-only": { type: "boolean", default: false },
    "installed-only": { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

if (values.help) console.log(usage);
else await main();

async function main(): Promise<void> {
  const measurements: Measurement[] = [];
  if (!values["installed-only"]) {
    if (!values["warm-only"]) measurements.push(await measureClone("fresh clone, empty npm cache", true));
    measurements.push(await measureClone("fresh clone, this user's npm cache", false));
  }
  const seconds: number[] = [];
  for (let run = 0; run < Number(values.runs); run++) seconds.push(await measureStart(ROOT, {}));
  measurements.push({ name: "installed", seconds, limitSeconds: 3 });

  if (values.json)
    console.log(JSON.stringify(measurements.map((each) => ({ ...each, median: median(each.seconds) }))));
  else {
    console.table(
      measurements.map(({ name, seconds: runs, limitSeconds }) => ({
        "from npm start to the first answer": name,
        "median s": median(runs).toFixed(2),
        runs: runs.length,
        "slowest s": Math.max(...runs).toFixed(2),
        "limit s": limitSeconds ?? "",
      })),
    );
  }
}

async function measureClone(name: string, hasEmptyCache: boolean): Promise<Measurement> {
  const folder = await mkdtemp(join(tmpdir(), "sluice-bench-"));
  const clone = join(folder, "sluice");
  try {
    execFileSync("git", ["clone", "--quiet", ROOT, clone], { stdio: ["ignore", "ignore", "inherit"] });
    const npmCache: Record<string, string> = hasEmptyCache
      ? { npm_config_cache: join(folder, "npm-cache") }
      : {};
    // Our own cache is empty in both: a newcomer's machine is not measured yet, and its threads take time to try.
    const env = { ...npmCache, XDG_CACHE_HOME: join(folder, "cache") };
    return { name, seconds: [await measureStart(clone, env)], limitSeconds: 60 };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function measureStart(folder: string, env: Record<string, string>): Promise<number> {
  const startedAt = performance.now();
  const child = spawn("npm", ["start", "--", "--host", "127.0.0.1", "--port", "0"], {
    cwd: folder,
    env: { ...process.env, PATH: systemPath(), ...env },
    stdio: ["ignore", "pipe", "inherit"],
    // A group of its own, so that all of it can be ended, and nothing else.
    detached: process.platform !== "win32",
    shell: process.platform === "win32",
  });
  try {
    const client = new OpenAI({ baseURL: await baseUrlOf(child), apiKey: "none", timeout: TIMEOUT_MS });
    const { data } = await client.models.list();
    const { choices } = await client.chat.completions.create({
      model: data[0]?.id ?? "",
      messages: [{ role: "user", content: "What is Sluice?" }],
      max_tokens: 16,
    });
    if (!choices[0]?.message.content) throw new Error("the answer is empty");
    return (performance.now() - startedAt) / 1000;
  } finally {
    await end(child);
  }
}

/** Without the folders that npm puts in front: a newcomer has the system's Node only. */
function systemPath(): string {
  return (process.env.PATH ?? "")
    .split(delimiter)
    .filter((folder) => !folder.includes("node_modules") && !folder.includes("node-gyp-bin"))
    .join(delimiter);
}

/** The address in the banner, which is printed once the models are loaded. */
async function baseUrlOf(child: ChildProcess): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const timer = setTimeout(() => reject(new Error(`no answer within ${TIMEOUT_MS / 1000} s`)), TIMEOUT_MS);
  let text = "";
  child.stdout?.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
    const url = /http:\/\/[\w.:[\]-]+\/v1/.exec(text)?.[0];
    if (url !== undefined) resolve(url);
  });
  child.once("error", reject);
  child.once("exit", (code) => reject(new Error(`npm start ended with exit code ${code}\n${text}`)));
  return promise.finally(() => clearTimeout(timer));
}

async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null) return;
  const closed = once(child, "close");
  if (process.platform === "win32") execFileSync("taskkill", ["/pid", String(child.pid), "/t", "/f"]);
  else process.kill(-child.pid, "SIGTERM");
  await closed;
}
