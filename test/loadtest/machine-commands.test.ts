import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer as createHttpServer } from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startMock } from "../../loadtest/mock.ts";

const MAIN = fileURLToPath(new URL("../../loadtest/main.ts", import.meta.url));
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sluice-bench-"));
});

afterAll(() => rm(folder, { recursive: true }));

async function loadtest(...args: readonly string[]) {
  const child = spawn(process.execPath, [MAIN, ...args], { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
  let [out, err] = ["", ""];
  child.stdout.on("data", (chunk) => {
    out += chunk;
  });
  child.stderr.on("data", (chunk) => {
    err += chunk;
  });
  const [code] = await once(child, "close");
  return { code, out, err };
}

describe.concurrent("bench", () => {
  it("prints and writes the same JSON, with the moment, the versions and the hardware", async () => {
    const mock = await startMock({ tokens: 500 });
    const file = join(folder, "deep", "bench.json");
    const flags = ["--only", "speed,models", "--runs", "1", "--json", "--out", file];
    const { code, out } = await loadtest("bench", mock.url, ...flags);
    await mock.close();
    expect(code).toBe(0);
    expect(await readFile(file, "utf8")).toBe(out);
    const report = JSON.parse(out);
    expect(report).toMatchObject({
      model: "mock",
      runs: 1,
      concurrency: null,
      models: { "70B": { maxTokens: 500, requests: 3, failures: 0, isMet: true } },
      versions: { node: process.version },
      failures: {},
    });
    // The mock tells nothing of its machine, which is this one.
    expect(report.hardware.found.cores).toBeGreaterThan(0);
    expect(Date.parse(report.finishedAt)).toBeGreaterThanOrEqual(Date.parse(report.startedAt));
  });

  it("ends with 4 where every answer failed, and with 2 for a name that is none", async () => {
    const mock = await startMock({ fault: "http_500", errorRate: 1 });
    const dead = await loadtest("bench", mock.url, "--only", "speed", "--runs", "1");
    await mock.close();
    expect(dead.code).toBe(4);
    expect(dead.out).toMatch(/failed 3 times: http_5xx/);
    const wrong = await loadtest("bench", "--only", "speed,size");
    expect(wrong.code).toBe(2);
    expect(wrong.err).toContain("size is not allowed; some of speed, concurrency, models");
  });

  it("asks a server behind a path where it is", async () => {
    const asked: (string | undefined)[] = [];
    const server = createHttpServer((request, response) => {
      asked.push(request.url);
      if (request.url === "/proxy/v1/models") response.end(JSON.stringify({ data: [{ id: "m" }] }));
      else response.writeHead(404).end();
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    const port = typeof address === "object" ? address?.port : 0;
    await loadtest("bench", `http://127.0.0.1:${port}/proxy/v1`, "--only", "speed", "--runs", "1");
    server.close();
    expect(new Set(asked)).toEqual(
      new Set(["/proxy/v1/models", "/proxy/v1/system/status", "/proxy/v1/chat/completions"]),
    );
  });

  it("ends with 4 where nothing listens", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    server.close();
    await once(server, "close");
    const port = typeof address === "object" ? address?.port : 0;
    const { code, err } = await loadtest("bench", `http://127.0.0.1:${port}`);
    expect(code).toBe(4);
    expect(err).toMatch(/is the server up/);
  });
});

describe.concurrent("monitor", () => {
  it("samples until its time is over, and exports samples and averages", async () => {
    const { code, out } = await loadtest("monitor", "--pid", String(process.pid), "--time", "2s", "--json");
    expect(code).toBe(0);
    const { pid, average, memory, samples } = JSON.parse(out);
    expect(pid).toBe(process.pid);
    expect(samples.length).toBeGreaterThan(1);
    expect(average).toMatchObject({ minutes: 5, samples: samples.length });
    expect(samples.at(-1).rssBytes).toBeGreaterThan(10 << 20);
    // No warm-up was over: nothing to compare with.
    expect(memory).toBeNull();
  });

  it("ends with 2 for a process that is not there", async () => {
    const { code, err } = await loadtest("monitor", "--pid", "999999999");
    expect(code).toBe(2);
    expect(err).toContain("no process has the id 999999999");
  });
});
