import { randomBytes } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { SingleBar } from "cli-progress";
import { type Command, InvalidArgumentError, Option } from "commander";
import { request } from "undici";
import { z } from "zod";
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
import {
  HARDWARE_NAMES,
  type Hardware,
  type HardwareName,
  hardwareNamed,
  hardwareOf,
  statusSchema,
} from "../hardware.ts";
import { type Answer, createClient } from "../request.ts";
import { durationMs, integer } from "./flags.ts";

interface BenchFlags {
  readonly model?: string;
  readonly apiKey: string;
  readonly only: readonly BenchName[];
  readonly runs: number;
  readonly hardware: HardwareName | "auto";
  readonly timeout: number;
  readonly out?: string;
  readonly json?: boolean;
}

/** Where to ask, and as whom. */
interface Target {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
}

const LOCAL = readTarget("http://127.0.0.1:8000");
/** Nothing could be measured. */
const EXIT_DEAD = 4;
const MODELS_LIMIT_MS = 10_000;

export function configureBench(program: Command): void {
  program
    .command("bench")
    .argument(
      "[target]",
      "the server, such as https://example.com or https://example.com/v1",
      readTarget,
      LOCAL,
    )
    .description("the standard benchmarks: speed by length, concurrency, model and hardware profiles")
    .option("--model <id>", "model (default: the first that the server lists)")
    .option("--api-key <key>", "bearer token", "none")
    .option("--only <names>", `some of them, by commas: ${BENCH_NAMES.join(", ")}`, readNames, BENCH_NAMES)
    .option("--runs <count>", "answers of each length in `speed`", integer(1, 1000), 5)
    .addOption(
      new Option("--hardware <profile>", "of the server; auto asks the server, or looks at this machine")
        .choices(["auto", ...HARDWARE_NAMES])
        .default("auto"),
    )
    .option("--timeout <duration>", "to the headers, and between two reads", durationMs, 120_000)
    .option("--out <file>", "write the results there, as JSON")
    .option("--json", "print the results as JSON to stdout, and nothing else there")
    .action(bench);
}

async function bench(url: URL, flags: BenchFlags, command: Command): Promise<void> {
  const at: Target = { url, headers: { authorization: `Bearer ${flags.apiKey}` } };
  const startedAt = new Date().toISOString();
  const model = flags.model ?? (await firstModel(at).catch(dead));
  const [platform, hardware] = await Promise.all([getPlatformInfo(), findHardware(at, flags.hardware)]);
  const progress = createProgress(answersOf(flags.only, flags.runs));
  const failures: Record<string, number> = {};
  const client = createClient({
    origin: at.url.origin,
    connections: Math.max(...CONCURRENCY_LEVELS),
    headers: at.headers,
    timeoutMs: flags.timeout,
  });
  const ask = createAsk({
    client,
    path: `${at.url.pathname}/chat/completions`,
    model,
    nonce: randomBytes(4).toString("hex"),
    onAnswer({ failure }: Answer) {
      progress.increment();
      if (failure === null) return;
      const text = `${failure.kind}: ${failure.error}`;
      failures[text] = (failures[text] ?? 0) + 1;
    },
  });
  const isWanted = (name: BenchName) => flags.only.includes(name);
  let report: BenchReport;
  try {
    const speed = isWanted("speed") ? await benchSpeed(ask, flags.runs) : null;
    const concurrency = isWanted("concurrency") ? await benchConcurrency(ask) : null;
    const models = isWanted("models") ? await benchModels(ask, model) : null;
    report = {
      schemaVersion: 1,
      startedAt,
      finishedAt: new Date().toISOString(),
      target: `${at.url.origin}${at.url.pathname}`,
      model,
      versions: { sluice: pkg.version, node: process.version },
      platform: { system: platform.system, machine: platform.machine, cpuModel: platform.cpuModel },
      hardware,
      runs: flags.runs,
      speed,
      concurrency,
      models,
      failures,
    };
  } finally {
    progress.stop();
    await client.close();
  }
  const text = `${JSON.stringify(report, null, 2)}\n`;
  if (flags.out !== undefined) {
    await mkdir(dirname(flags.out), { recursive: true });
    await writeFile(flags.out, text);
  }
  process.stdout.write(flags.json === true ? text : benchText(report));
  const failed = Object.values(failures).reduce((sum, count) => sum + count, 0);
  if (failed === answersOf(flags.only, flags.runs)) process.exitCode = EXIT_DEAD;

  function dead(error: unknown): never {
    return command.error(`error: ${String(error instanceof Error ? error.message : error)}`, {
      exitCode: EXIT_DEAD,
    });
  }
}

/** Scheme, host and the API's root: `http://host:8000` means `http://host:8000/v1`. */
function readTarget(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol))
    throw new InvalidArgumentError(`${JSON.stringify(text)} is no URL; write http://127.0.0.1:8000`);
  const path = url.pathname.replace(/\/+$/, "");
  url.pathname = path === "" ? "/v1" : path;
  return url;
}

const modelList = z.object({ data: z.array(z.object({ id: z.string() })).min(1) });

async function firstModel(target: Target): Promise<string> {
  const url = `${target.url.origin}${target.url.pathname}/models`;
  const list = modelList.safeParse(await getJson(url, target.headers));
  const first = list.data?.data[0];
  if (first === undefined) throw new Error(`${url} lists no models; name one with --model`);
  return first.id;
}

/** As named; else what a Sluice says of its machine; else this machine, if the server is on it. */
async function findHardware({ url, headers }: Target, name: HardwareName | "auto"): Promise<Hardware | null> {
  if (name !== "auto") return hardwareNamed(name);
  const status = await getJson(`${url.origin}${url.pathname}/system/status`, headers).catch(() => undefined); // Others have none.
  const parsed = statusSchema.safeParse(status);
  if (parsed.success) return hardwareOf(parsed.data.platform);
  const isHere = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(url.hostname);
  return isHere ? hardwareOf(await getPlatformInfo({ isThorough: true })) : null;
}

async function getJson(url: string, headers: Readonly<Record<string, string>>): Promise<unknown> {
  const limits = { headersTimeout: MODELS_LIMIT_MS, bodyTimeout: MODELS_LIMIT_MS };
  const { statusCode, body } = await request(url, { headers, ...limits });
  const text = await body.text();
  if (statusCode !== 200) throw new Error(`${url} answered ${statusCode}: ${text.slice(0, 200)}`);
  return JSON.parse(text);
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
