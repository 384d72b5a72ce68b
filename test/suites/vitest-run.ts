import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type VitestReport, vitestReport } from "./outcome.ts";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** Ignored by git; every run writes anew what it makes there. */
export const RESULTS = join(ROOT, "test-results");

/**
 * Runs vitest with its output on stderr, and reads its report. Rejects when it ended without writing one.
 * `env`: on top of this process's.
 */
export async function runVitest(
  name: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<VitestReport> {
  const file = join(RESULTS, `${name}.json`);
  await mkdir(RESULTS, { recursive: true });
  await rm(file, { force: true });
  const vitest = join(ROOT, "node_modules", "vitest", "vitest.mjs");
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${file}`];
  const child = spawn(process.execPath, [vitest, "run", ...reporters, ...args], {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ["ignore", 2, 2],
  });
  const [code] = await once(child, "close");
  const text = await readFile(file, "utf8").catch((cause: unknown) => {
    throw new Error(`vitest ended with exit code ${code} and no report in ${file}`, { cause });
  });
  return vitestReport.parse(JSON.parse(text));
}
