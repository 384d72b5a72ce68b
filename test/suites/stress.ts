import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { memoryBaseline, memoryGrowth } from "../../loadtest/monitor.ts";
import { type Result, resultSchema } from "../../loadtest/result.ts";
import type { Outcome } from "./outcome.ts";
import type { RunningServer } from "./suites.ts";
import { RESULTS, ROOT } from "./vitest-run.ts";

/** Flags of `loadtest run` that say how many users come, how fast and for how long. */
export interface Load {
  /** Of the results' folder and the summary's line. */
  readonly name: string;
  readonly flags: readonly string[];
}

export const STAGES: readonly Load[] = ["basic", "medium", "high"].map((name) => ({
  name,
  flags: ["--stage", name],
}));

/** What the specification's own run of everything asks for. */
export const SHORT_LOAD: Load = { name: "short", flags: ["--users", "20", "--spawn", "4", "--time", "60s"] };

/** Virtual users against a server that runs, as `npm run loadtest -- run` does it; its own objectives decide. */
export async function runStress(load: Load, { url, pid }: RunningServer): Promise<Outcome> {
  const folder = join(RESULTS, `stress-${load.name}`);
  await rm(folder, { recursive: true, force: true });
  const args = ["run", url, "--profile", "inference-user", ...load.flags, "--out", folder];
  if (pid !== undefined) args.push("--pid", String(pid));
  const startedAt = performance.now();
  const child = spawn(process.execPath, [join(ROOT, "loadtest", "main.ts"), ...args], {
    cwd: ROOT,
    stdio: ["ignore", 2, 2],
  });
  const [code] = await once(child, "close");
  const seconds = (performance.now() - startedAt) / 1000;
  const text = await readFile(join(folder, "result.json"), "utf8").catch((cause: unknown) => {
    throw new Error(`the load test ended with exit code ${code} and no result in ${folder}`, { cause });
  });
  const result = resultSchema.parse(JSON.parse(text));
  const failures = failuresOf(result);
  return {
    name: "stress",
    title: `Stress: ${load.name}`,
    isPassed: failures.length === 0,
    seconds,
    passed: result.slo.filter(({ isHeld }) => isHeld).length,
    failed: failures.length,
    skipped: 0,
    failures,
    notes: notesOf(result),
    figures: figuresOf(result),
    pages: [`stress-${load.name}/report.html`],
  };
}

function failuresOf({ slo }: Result): readonly string[] {
  return slo
    .filter(({ isHeld }) => !isHeld)
    .map(
      ({ slo: text, actual, unit }) =>
        `${text}: ${actual === null ? "not measured" : `${actual.toFixed(1)} ${unit}`}`,
    );
}

/** A client short of CPU makes every figure worse than the server's own, so an objective that held did hold. */
function notesOf({ verdict }: Result): readonly string[] {
  return verdict.reasons.map((reason) => `the server's own figures are better: ${reason}`);
}

function figuresOf(result: Result): Outcome["figures"] {
  const { aggregated, platform, monitor, server, window } = result;
  const { requests, failures, requestsPerSecond, metrics } = aggregated;
  const chat = result.endpoints.find(({ name }) => name.endsWith("/chat/completions"));
  const health = result.endpoints.find(({ name }) => name.endsWith("/health"));
  const inWindow = monitor.filter(({ at }) => {
    const ms = at - Date.parse(result.startedAt);
    return window !== null && ms >= window.startMs && ms <= window.endMs;
  });
  const memory = memoryOf(result);
  return {
    requests,
    successPercent: (100 * (requests - failures)) / Math.max(1, requests),
    requestsPerMinute: requestsPerSecond * 60,
    ...optional("responseMeanMs", metrics.e2e?.mean),
    ...optional("responseP95Ms", metrics.e2e?.p95),
    ...optional("chatMeanMs", chat?.metrics.e2e?.mean),
    ...optional("chatTtftP95Ms", chat?.metrics.ttft?.p95),
    ...optional("healthMeanMs", health?.metrics.e2e?.mean),
    tokensPerSecond: aggregated.tokensPerSecond.completion,
    // Of all cores, as the machine's figure is.
    ...(server.pid === null
      ? {}
      : optional(
          "serverCpuPercent",
          meanOf(inWindow.map(({ processCpuPercent }) => (processCpuPercent ?? 0) / platform.cores)),
        )),
    ...optional("machineCpuPercent", meanOf(inWindow.map(({ cpuPercent }) => cpuPercent))),
    ...optional("memoryGrowthMiB", memory === undefined ? undefined : memory.growthBytes / 1024 ** 2),
    isValid: String(result.verdict.isValid),
  };
}

/** Of the server, since all users were there. */
function memoryOf({ monitor, server, window, startedAt }: Result) {
  if (window === null || server.pid === null) return undefined;
  const baseline = memoryBaseline(monitor, Date.parse(startedAt) + window.startMs);
  return baseline === undefined ? undefined : memoryGrowth(baseline, monitor);
}

function meanOf(values: readonly number[]): number | undefined {
  return values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0) / values.length;
}

function optional(name: string, value: number | undefined): Readonly<Record<string, number>> {
  return value === undefined ? {} : { [name]: value };
}
