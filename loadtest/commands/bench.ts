import { randomBytes } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { SingleBar } from "cli-progress";
import { type Command, InvalidArgumentError, Option } from "commander";
import { request } from "undici";
import pkg from "../../package.json" with { type: "json" };
import { getPlatformInfo } from "../../runtime-node/probe.ts";
import {
  answersOf,
  BENCH_NAMES,
  type BenchName,
  benchConcurrency,
  benchModels,
  benchSpeed,
  CONCURRENCY_LEVELS,
  createAsk,
} from "../bench.ts";
import { type BenchReport, benchText } from "../bench-report.ts";
import { EXIT } from "../exit.ts";
import {
  HARDWARE_NAMES,
  type Hardware,
  type HardwareName,
  hardwareNamed,
  hardwareOf,
  statusSchema,
} from "../hardware.ts";
import { type Answer, createClient } from "../request.ts";
import { firstModel, readTarget, type Target, targetText } from "../target.ts";
import { CHAT_PATH } from "../workload.ts";
import { durationMs, integer } from "./flags.ts";

interface BenchFlags {
  readonly model?: string;
  readonly apiKey?: string;
  readonly only: readonly BenchName[];
  readonly runs: number;
  readonly hardware: HardwareName | "auto";
  readonly timeout: number;
  readonly out?: string;
  readonly json?: boolean;
}

const LOCAL = "http://127.0.0.1:8000";
/** Of what the server says of its machine. */
const STATUS_LIMIT_MS = 10_000;

export function configureBench(command: Command): void {
  command
    .argument("[target]", "the server, such as https://example.com or https://example.com/v1", LOCAL)
    .option("--model <id>", "model (default: the first that the server lists)")
    .addOption(new Option("--api-key <key>", "bearer token").env("OPENAI_API_KEY"))
    .option("--only <names>", `some of them, by commas: ${BENCH_NAMES.join(", ")}`, readNames, BENCH_NAMES)
    .option("--runs <count>", "answers of each length in `speed`", integer(1, 1000), 5)
    .addOption(
      new Option("--hardware <profile>", "of the server; auto asks the server, or looks at this machine")
        .choices(["auto", ...HARDWARE_NAMES])
        .default("auto"),
    )
    .option("--timeout <duration>", "to the headers, and between two reads", durationMs, 120_000)
    .option("--out <file>", "the results as JSON (default: loadtest-results/bench-<time>.json)")
    .option("--json", "print the results as JSON to stdout, and nothing else there")
    .action(bench);
}

async function bench(text: string, flags: BenchFlags): Promise<void> {
  const key = flags.apiKey;
  const target = readTarget(text, key === undefined ? {} : { authorization: `Bearer ${key}` });
  const startedAt = new Date().toISOString();
  const model = flags.model ?? (await firstModel(target));
  const [platform, hardware] = await Promise.all([getPlatformInfo(), findHardware(target, flags.hardware)]);
  const measured = await runBenches(target, model, flags);
  const report: BenchReport = {
    schemaVersion: 1,
    startedAt,
    finishedAt: new Date().toISOString(),
    target: targetText(target),
    model,
    versions: { sluice: pkg.version, node: process.version },
    platform: { system: platform.system, machine: platform.machine, cpuModel: platform.cpuModel },
    hardware,
    ...measured,
  };
  const json = `${JSON.stringify(report, null, 2)}\n`;
  const moment = startedAt.slice(0, 19).replaceAll(/[:T]/g, "-");
  const file = flags.out ?? join("loadtest-results", `bench-${moment}.json`);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, json);
  process.stdout.write(flags.json === true ? json : `${benchText(report)}${file}\n`);
  const failed = Object.values(report.failures).reduce((sum, count) => sum + count, 0);
  if (failed === answersOf(flags.only, flags.runs)) process.exitCode = EXIT.dead;
}

async function runBenches(
  target: Target,
  model: string,
  { only, runs, timeout }: BenchFlags,
): Promise<Pick<BenchReport, "runs" | "speed" | "concurrency" | "models" | "failures">> {
  const progress = createProgress(answersOf(only, runs));
  const failures: Record<string, number> = {};
  const onAnswer = ({ failure }: Answer): void => {
    progress.increment();
    if (failure === null) return;
    const text = `${failure.kind}: ${failure.error}`;
    failures[text] = (failures[text] ?? 0) + 1;
  };
  const connections = Math.max(...CONCURRENCY_LEVELS);
  const client = createClient({ ...target, connections, timeoutMs: timeout });
  const ask = createAsk({ client, path: CHAT_PATH, model, nonce: randomBytes(4).toString("hex"), onAnswer });
  try {
    const speed = only.includes("speed") ? await benchSpeed(ask, runs) : null;
    const concurrency = only.includes("concurrency") ? await benchConcurrency(ask) : null;
    const models = only.includes("models") ? await benchModels(ask, model) : null;
    return { runs, speed, concurrency, models, failures };
  } finally {
    progress.stop();
    await client.close();
  }
}

/** As named; else what a Sluice says of its machine; else this machine, if the server is on it. */
async function findHardware(target: Target, name: HardwareName | "auto"): Promise<Hardware | null> {
  if (name !== "auto") return hardwareNamed(name);
  const parsed = statusSchema.safeParse(await readStatus(target).catch(() => undefined)); // Others have none.
  if (parsed.success) return hardwareOf(parsed.data.platform);
  const isHere = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(new URL(target.origin).hostname);
  return isHere ? hardwareOf(await getPlatformInfo({ isThorough: true })) : null;
}

async function readStatus({ origin, pathPrefix, headers }: Target): Promise<unknown> {
  const limits = { headersTimeout: STATUS_LIMIT_MS, bodyTimeout: STATUS_LIMIT_MS };
  const { body } = await request(`${origin}${pathPrefix}/v1/system/status`, { headers, ...limits });
  return await body.json();
}

function readNames(text: string): readonly BenchName[] {
  const names = text.split(",").map((name) => name.trim());
  const known = BENCH_NAMES.filter((name) => names.includes(name));
  const unknown = names.filter((name) => !known.some((each) => each === name));
  if (unknown.length > 0)
    throw new InvalidArgumentError(
      `${unknown.join(", ")} is not allowed; some of ${BENCH_NAMES.join(", ")}.`,
    );
  return known;
}

/** On stderr, and only where a terminal shows it. */
function createProgress(total: number) {
  const bar = new SingleBar({
    format: "{bar} {value}/{total} answers, {eta_formatted} left",
    clearOnComplete: true,
  });
  bar.start(total, 0);
  return bar;
}
