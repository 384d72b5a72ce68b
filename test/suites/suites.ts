import { readFile, rm } from "node:fs/promises";
import { join, relative } from "node:path";
import { z } from "zod";
import { type Outcome, outcomeOf, type SuiteName, type VitestReport } from "./outcome.ts";
import { RESULTS, ROOT, runVitest } from "./vitest-run.ts";

export const TITLES: Readonly<Record<SuiteName, string>> = {
  unit: "Unit tests",
  integration: "Integration tests",
  compat: "OpenAI compatibility, every engine, host and edge",
  platform: "This platform",
  coverage: "Coverage",
  running: "OpenAI's client against a running server",
  perf: "Performance of a running server",
  stress: "Stress",
};

/** What `npm test` runs, by suite: every folder is in one of them. */
export const FOLDERS = {
  unit: ["test/shared", "test/functions", "test/runtime-node", "test/loadtest", "test/suites"],
  integration: ["test/contracts", "test/checks", "test/scenarios", "test/chaos", "test/e2e"],
  compat: ["test/clients"],
  platform: ["test/platform"],
} as const satisfies Partial<Record<SuiteName, readonly string[]>>;
export type LocalName = keyof typeof FOLDERS;
export const LOCAL_NAMES: readonly LocalName[] = ["unit", "integration", "compat", "platform"];

/** A server that runs, and its process where that is on this machine. */
export interface RunningServer {
  readonly url: string;
  readonly pid: number | undefined;
}

/** Tests that start what they need by themselves. `args`: more for vitest. */
export async function runLocal(name: LocalName, args: readonly string[] = []): Promise<Outcome> {
  return outcomeOf({ name, title: TITLES[name] }, await runVitest(name, [...FOLDERS[name], ...args]));
}

/** All of `npm test` at once, as an outcome for each suite. */
export async function runAllLocal(): Promise<readonly Outcome[]> {
  const report = await runVitest("local", []);
  return LOCAL_NAMES.map((name) => ownOutcome(name, report));
}

/** The same with what of the sources was run: as text here, as pages in the results' folder. */
export async function runCoverage(): Promise<readonly Outcome[]> {
  const folder = join(RESULTS, "coverage");
  await rm(folder, { recursive: true, force: true });
  const report = await runVitest("local", [
    "--coverage.enabled",
    "--coverage.provider=v8",
    "--coverage.include=shared/**/*.ts",
    "--coverage.include=functions/**/*.ts",
    "--coverage.include=runtime-node/**/*.ts",
    "--coverage.include=loadtest/**/*.ts",
    "--coverage.reporter=text-summary",
    "--coverage.reporter=html",
    "--coverage.reporter=json-summary",
    `--coverage.reportsDirectory=${folder}`,
    "--coverage.reportOnFailure",
  ]);
  return [...LOCAL_NAMES.map((name) => ownOutcome(name, report)), await coverageOutcome(folder)];
}

/** OpenAI's client against a server that runs. */
export async function runRunning(server: RunningServer): Promise<Outcome> {
  return await runOnServer("running", "test/compat", server);
}

/** Health, response time, tokens a second and memory of a server that runs. */
export async function runPerf(server: RunningServer): Promise<Outcome> {
  return await runOnServer("perf", "test/perf", server);
}

async function runOnServer(name: SuiteName, folder: string, { url, pid }: RunningServer): Promise<Outcome> {
  const args = ["--config", "test/suites/running.config.ts", folder];
  const env = { OPENAI_BASE_URL: `${url}/v1`, ...(pid === undefined ? {} : { SUITE_PID: String(pid) }) };
  return outcomeOf({ name, title: TITLES[name] }, await runVitest(name, args, env));
}

function ownOutcome(name: LocalName, report: VitestReport): Outcome {
  const isOurs = (path: string) =>
    FOLDERS[name].some((folder) => relative(ROOT, path).replaceAll("\\", "/").startsWith(`${folder}/`));
  return outcomeOf({ name, title: TITLES[name] }, report, isOurs);
}

const coverageSummary = z.object({
  total: z.object({
    lines: z.object({ pct: z.number() }),
    branches: z.object({ pct: z.number() }),
    functions: z.object({ pct: z.number() }),
  }),
});

async function coverageOutcome(folder: string): Promise<Outcome> {
  const text = await readFile(join(folder, "coverage-summary.json"), "utf8");
  const { lines, branches, functions } = coverageSummary.parse(JSON.parse(text)).total;
  return {
    name: "coverage",
    title: TITLES.coverage,
    isPassed: true,
    seconds: 0,
    passed: 0,
    failed: 0,
    skipped: 0,
    failures: [],
    notes: [],
    figures: { linesPercent: lines.pct, branchesPercent: branches.pct, functionsPercent: functions.pct },
    pages: ["coverage/index.html"],
  };
}
