import { afterEach, describe, expect, it } from "vitest";
import { benchConcurrency, benchModels, benchSpeed, createAsk, sizeOf } from "../../loadtest/bench.ts";
import { benchText } from "../../loadtest/bench-report.ts";
import { hardwareNamed, hardwareOf } from "../../loadtest/hardware.ts";
import { type Mock, type MockOptions, startMock } from "../../loadtest/mock.ts";
import { type Client, createClient } from "../../loadtest/request.ts";
import type { Gpu, PlatformInfo } from "../../shared/detector.ts";

const MOCK_MODEL = "mock";
const GIB = 1024 ** 3;
const running: { readonly mock: Mock; readonly client: Client }[] = [];

afterEach(async () => {
  for (const { client, mock } of running.splice(0)) {
    await client.close();
    await mock.close();
  }
});

/** Asks a mock of its own; `prompts` has what was asked. */
async function askMock(options: MockOptions = {}) {
  const mock = await startMock({ tokens: 1000, ...options });
  const client = createClient({ origin: mock.url, connections: null, headers: {}, timeoutMs: 10_000 });
  running.push({ mock, client });
  const prompts: string[] = [];
  const watched: Client = {
    ...client,
    send(call, ...rest) {
      prompts.push(JSON.parse(call.body ?? "").messages[0].content);
      return client.send(call, ...rest);
    },
  };
  let answers = 0;
  const path = "/v1/chat/completions";
  const onAnswer = () => void answers++;
  const ask = createAsk({ client: watched, path, model: MOCK_MODEL, nonce: "run", onAnswer });
  return { ask, prompts, mock, answers: () => answers };
}

describe("the speed bench", () => {
  it("asks for 10, 100 and 300 tokens as often as told, and counts what came", async () => {
    const { ask, answers } = await askMock();
    const results = await benchSpeed(ask, 2);
    expect(Object.keys(results)).toEqual(["short", "medium", "long"]);
    expect(Object.values(results).map(({ completionTokens }) => completionTokens?.mean)).toEqual([
      10, 100, 300,
    ]);
    for (const { requests, failures, tokensPerSecond } of Object.values(results)) {
      expect({ requests, failures }).toEqual({ requests: 2, failures: 0 });
      if (tokensPerSecond === null) return expect.unreachable();
      const { min, median, mean, max } = tokensPerSecond;
      expect(min).toBeGreaterThan(0);
      expect(min).toBeLessThanOrEqual(median);
      expect(median).toBeLessThanOrEqual(max);
      expect(mean).toBeCloseTo((min + max) / 2);
    }
    expect(answers()).toBe(6);
  });

  it("counts the wait for the first token in the speed, and not in the decode speed", async () => {
    const { ask } = await askMock({ ttftMs: 200 });
    const { short } = await benchSpeed(ask, 1);
    // 10 tokens in 200 ms and more.
    expect(short?.tokensPerSecond?.max).toBeLessThanOrEqual(50);
    expect(short?.decodeTokensPerSecond?.max).toBeGreaterThan(50);
    expect(short?.ttftMs?.min).toBeGreaterThanOrEqual(199);
  });

  it("leaves the first chunk's tokens out of the decode speed, as TPOT does, also where they are several", async () => {
    const { ask } = await askMock({ tokensPerChunk: 4, itlMs: 50 });
    const answer = await ask("Hello", 10);
    const { short } = await benchSpeed(async () => answer, 1);
    // 10 tokens in 3 chunks that the server doesn't count: 3 in the first.
    const { firstTokenAt, lastTokenAt } = answer.stream ?? {};
    const seconds = ((lastTokenAt ?? 0) - (firstTokenAt ?? 0)) / 1000;
    expect((short?.decodeTokensPerSecond?.mean ?? 0) * seconds).toBeCloseTo(7);
  });

  it("never sends a prompt twice: the server may keep what it computed", async () => {
    const { ask, prompts } = await askMock();
    await benchSpeed(ask, 3);
    expect(new Set(prompts).size).toBe(9);
  });

  it("has no figure where every answer failed, and says how many did", async () => {
    const { ask } = await askMock({ fault: "http_500", errorRate: 1 });
    const { short } = await benchSpeed(ask, 2);
    expect(short).toMatchObject({ requests: 2, failures: 2, tokensPerSecond: null, ttftMs: null });
  });
});

describe("the concurrency bench", () => {
  it("has so many requests in flight at once, and counts those that fail", async () => {
    const { ask } = await askMock({ ttftMs: 20, fault: "http_500", errorRate: 0.5 });
    let inFlight = 0;
    let most = 0;
    const peaks: number[] = [];
    const results = await benchConcurrency(async (prompt, maxTokens) => {
      most = Math.max(most, ++inFlight);
      const answer = await ask(prompt, maxTokens);
      if (--inFlight === 0) peaks.push(most);
      return answer;
    });
    expect(results.map(({ concurrency }) => concurrency)).toEqual([1, 5, 10, 20, 50]);
    expect(peaks).toEqual([1, 5, 10, 20, 50]);
    const last = results.at(-1);
    expect(last?.successPercent).toBeCloseTo(50, -1);
    expect(last?.failures).toBe(50 - (50 * (last?.successPercent ?? 0)) / 100);
    expect(last?.meanResponseMs).toBeGreaterThanOrEqual(19);
    expect(last?.requestsPerSecond).toBeGreaterThan(0);
  });
});

describe("the model profiles", () => {
  it("hold a model against what is expected of its size", async () => {
    const { ask } = await askMock();
    const results = await benchModels(ask, "llama-13B");
    expect(results).toMatchObject({
      "7B": { maxTokens: 50, requests: 3, expectedTokensPerSecond: 20, isThisModel: false },
      "13B": { maxTokens: 200, requests: 3, expectedTokensPerSecond: 10, isThisModel: true, isMet: true },
      "70B": { maxTokens: 500, requests: 3, expectedTokensPerSecond: 5, isThisModel: false },
    });
  });

  it.each([
    ["Qwen/Qwen3-0.6B-GGUF", "7B"],
    ["meta-llama/Llama-3.1-8B-Instruct", "7B"],
    ["qwen2.5-14b", "13B"],
    ["Qwen3-30B-A3B", "70B"],
    ["llama-3.1-405b", "70B"],
    ["sluice-demo", undefined],
    ["gpt-4o-2024-08-06", undefined],
  ])("know the size of %s: %s", (model, size) => {
    expect(sizeOf(model)).toBe(size);
  });
});

describe("the hardware profile", () => {
  const machine: PlatformInfo = {
    system: "linux",
    machine: "x86_64",
    wsl: false,
    cpuModel: "AMD EPYC 9354",
    cores: 8,
    cpuBudget: 8,
    memoryBytes: 64 * GIB,
    memoryLimitBytes: 32 * GIB,
    memoryAvailableBytes: 16 * GIB,
    gpus: [],
    engines: [{ engine: "llama_cpp", version: "3.22.1" }],
  };
  const card = (name: string, vendor: Gpu["vendor"] = "nvidia"): Gpu => ({
    vendor,
    name,
    memoryBytes: 24 * GIB,
  });

  it.each([
    ["cpu_only", {}],
    ["gpu_consumer", { gpus: [card("NVIDIA GeForce RTX 4090")] }],
    ["gpu_consumer", { gpus: [card("AMD Radeon RX 7900 XTX", "amd")] }],
    ["gpu_enterprise", { gpus: [card("NVIDIA A100-SXM4-80GB")] }],
    ["gpu_enterprise", { gpus: [card("Tesla T4")] }],
    ["gpu_enterprise", { gpus: [card("AMD Instinct MI300X", "amd")] }],
    ["apple_silicon", { system: "darwin", machine: "arm64", gpus: [card("Apple M3 Max", "apple")] }],
    ["cpu_only", { system: "darwin", machine: "x86_64" }],
  ] as const)("is %s for %o", (profile, differs) => {
    expect(hardwareOf({ ...machine, ...differs }).profile).toBe(profile);
  });

  it("tells what was found, and which engine the detector takes", () => {
    const { found, device } = hardwareOf({ ...machine, gpus: [card("NVIDIA L4")] });
    expect(device).toBe("cuda");
    expect(found).toMatchObject({
      memoryBytes: 32 * GIB,
      gpus: [{ name: "NVIDIA L4", memoryBytes: 24 * GIB }],
      choice: { engine: "llama_cpp" },
    });
  });

  it("is as named for a server that can't be looked at", () => {
    expect(hardwareNamed("gpu_enterprise")).toMatchObject({ device: "cuda", engine: "vllm", found: null });
  });
});

it("prints dashes for what could not be measured, and every way of failing", async () => {
  const { ask } = await askMock({ fault: "http_500", errorRate: 1 });
  const text = benchText({
    schemaVersion: 1,
    startedAt: "2026-11-25T00:00:00.000Z",
    finishedAt: "2026-11-25T00:00:01.000Z",
    target: "http://127.0.0.1/v1",
    model: MOCK_MODEL,
    versions: { sluice: "0.1.0", node: "v24.21.0" },
    platform: { system: "linux", machine: "x86_64", cpuModel: "AMD EPYC" },
    hardware: null,
    runs: 1,
    speed: await benchSpeed(ask, 1),
    concurrency: null,
    models: null,
    failures: { "http_5xx: HTTP 500": 3 },
  });
  expect(text).toMatch(/short +│ +10 │ +1 │ .*–/);
  expect(text).toContain("failed 3 times: http_5xx: HTTP 500");
  expect(text).toContain("name the server's with --hardware");
});
