import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { cpuModel } from "./calibration-store.ts";
import { usersDrive } from "./driver.ts";
import { type Job, type Measured, measure } from "./measure.ts";
import type { MockTruth } from "./mock.ts";
import type { Call } from "./request.ts";
import type { Calibration } from "./result.ts";
import { chatCall, getCall } from "./workload.ts";

/** A mock in a process of its own, as real servers are. */
export interface MockProcess {
  readonly url: string;
  truth(): Promise<MockTruth>;
  stop(): Promise<void>;
}

export async function spawnMock(flags: readonly string[]): Promise<MockProcess> {
  const child = spawn(process.execPath, [fileURLToPath(import.meta.resolve("#loadtest")), "mock", ...flags], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  let url: string | undefined;
  for await (const line of createInterface(child.stdout)) {
    url = /^mock ready at (\S+)$/.exec(line)?.[1];
    if (url !== undefined) break;
  }
  if (url === undefined) throw new Error("the mock ended before it was ready");
  const at = url;
  return {
    url: at,
    async truth() {
      const response = await fetch(`${at}/mock/truth`);
      const truth: MockTruth = JSON.parse(await response.text());
      return truth;
    },
    async stop() {
      child.kill("SIGTERM");
      await exited;
    },
  };
}

/** Users that ask the same again and again. */
export function steadyJob(origin: string, users: number, durationMs: number, call: Call): Job {
  return {
    origin,
    pathPrefix: "",
    headers: {},
    warmupMs: durationMs / 4,
    timeoutMs: 30_000,
    slos: [],
    calibration: null,
    drive: usersDrive({
      users,
      spawnPerSecond: users,
      durationMs,
      requests: null,
      thinkMs: 0,
      call: () => call,
      thinkAfterMs: () => 0,
    }),
  };
}

export function streamCall(maxTokens: number): Call {
  const messages = [{ role: "user", content: "Hello" }] as const;
  const chat = { model: "mock", nonce: null, maxTokens: null, hasContinuousUsage: true };
  return chatCall({ name: "/v1/chat/completions", messages, maxTokens, isStream: true }, chat);
}

const TOKENS_PER_SECOND = 20;
const STREAMS = 500;
/** Where the client's check of itself would call a run invalid. */
const BUSY = 0.85;

/**
 * What this client can do here against a mock without delay, and what it adds to a latency. About 15 s. The ceiling
 * of streams is taken from the load of 500, at 20 tokens a second each.
 */
export async function calibrate(onStep: (text: string) => void): Promise<Calibration> {
  const mock = await spawnMock([
    "--ttft",
    "100ms",
    "--itl",
    `${1000 / TOKENS_PER_SECOND}ms`,
    "--tokens",
    "40",
  ]);
  try {
    onStep("requests a second: 32 at a time, GET /health");
    const requests = await measure(steadyJob(mock.url, 32, 4000, getCall("/health", "/health")));
    onStep(`streams: ${STREAMS} of ${TOKENS_PER_SECOND} tokens a second`);
    const streams = await measure(steadyJob(mock.url, STREAMS, 8000, streamCall(40)));
    const ceiling = (STREAMS * BUSY) / Math.max(0.01, utilisationOf(streams));
    const overhead = streams.aggregated.metrics.oneWay;
    return {
      cpuModel: cpuModel(),
      nodeVersion: process.version,
      requestsPerSecond: requests.aggregated.requestsPerSecond,
      chunksPerSecond: ceiling * TOKENS_PER_SECOND,
      streams: Math.floor(ceiling),
      overheadMs: { p50: overhead?.p50 ?? 0, p99: overhead?.p99 ?? 0 },
      measuredAt: new Date().toISOString(),
    };
  } finally {
    await mock.stop();
  }
}

function utilisationOf({ verdict }: Measured): number {
  return (verdict.checks.find(({ name }) => name === "event-loop utilisation")?.value ?? 0) / 100;
}
