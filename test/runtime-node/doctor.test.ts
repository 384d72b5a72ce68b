import { describe, expect, it } from "vitest";
import { type DoctorEffects, examine } from "../../runtime-node/doctor.ts";
import { doctorTable } from "../../runtime-node/doctor-table.ts";
import type { FoundPython } from "../../runtime-node/engines/process-python.ts";
import { ConfigError, parseConfig } from "../../shared/config.ts";
import type { PlatformInfo } from "../../shared/detector.ts";

const GIB = 2 ** 30;
const BOX: PlatformInfo = {
  system: "linux",
  machine: "x86_64",
  wsl: false,
  cpuModel: "AMD EPYC 9354",
  cores: 8,
  cpuBudget: 2,
  memoryBytes: 64 * GIB,
  memoryLimitBytes: 16 * GIB,
  memoryAvailableBytes: 12 * GIB,
  gpus: [],
  engines: [{ engine: "llama_cpp", version: "3.22.1" }],
};

interface Found extends Partial<Omit<DoctorEffects, "readConfig">> {
  readonly config?: Record<string, unknown>;
}

function look({ config = {}, ...more }: Found = {}) {
  return examine({
    info: BOX,
    readConfig: async () => ({ config: parseConfig(config, {}), path: "sluice.yaml" }),
    listen: async () => undefined,
    findPython: async (engine) => ({
      ok: false,
      missing: `${engine} is not installed.`,
      install: `pip install ${engine}`,
    }),
    findCommand: () => undefined,
    tryModel: async () => ({
      state: "ready",
      active: 0,
      queued: 0,
      details: {
        threads: 2,
        prefillThreads: 2,
        decodeTokensPerSecond: 812.4,
        contextSize: 2048,
        sequences: 64,
      },
    }),
    findAccess: async () => ({ ledger: "sqlite (ledger.db)", access: { kind: "keys", keys: 2 } }),
    countModels: async () => 3,
    ...more,
  });
}
const rowOf = async (check: string, found?: Found) =>
  (await look(found)).rows.find((row) => row.check === check);

describe("doctor", () => {
  it("finds nothing wrong with a box that can serve, and tells what it saw", async () => {
    const report = await look();
    expect(report.canServe).toBe(true);
    expect(report.rows.map(({ check, state }) => `${check}: ${state}`)).toEqual([
      "platform: ok",
      "cpu: ok",
      "memory: ok",
      "gpu: ok",
      "llama_cpp: ok",
      "vllm: ok",
      "mlx: ok",
      "llama_server: ok",
      "config: ok",
      "choice: ok",
      "port: ok",
      "ledger: ok",
      "keys: ok",
      "model sluice-demo: ok",
      "threads: ok",
    ]);
    const table = doctorTable(report);
    for (const fact of [
      "2 of 8 cores",
      "12.0 GiB free of 16.0 GiB (this machine has 64.0 GiB)",
      "812 tokens/s",
      "64 sequences of 2048 tokens",
    ])
      expect(table).toContain(fact);
  });

  it("chooses the engine as the server does: no vLLM for a GGUF", async () => {
    const info: PlatformInfo = {
      ...BOX,
      gpus: [{ vendor: "nvidia", name: "H100", computeCapability: 9 }],
      engines: [...BOX.engines, { engine: "vllm", version: "0.33.0", command: "/v/bin/vllm" }],
    };
    expect(await rowOf("choice", { info, config: { models: [{ source: "/models/llama" }] } })).toMatchObject({
      found: expect.stringMatching(/^vllm: /),
    });
    expect(await rowOf("choice", { info })).toMatchObject({
      state: "ok",
      found: expect.stringMatching(/^llama_cpp: .*sluice-demo is a GGUF/),
    });
  });

  it("says how to install what isn't there", async () => {
    expect(await rowOf("vllm")).toMatchObject({
      found: "not installed",
      todo: "To use it: pip install vllm",
    });
    expect(await rowOf("llama_cpp", { info: { ...BOX, engines: [] } })).toMatchObject({ state: "warn" });
  });

  it.each([
    ["EADDRINUSE", "taken by another program"],
    ["EACCES", "no permission"],
    ["EADDRNOTAVAIL", "can't be listened on"],
  ])("can't serve where the port can't be had: %s", async (code, found) => {
    const report = await look({ listen: async () => code });
    expect(report.canServe).toBe(false);
    expect(report.rows.find(({ check }) => check === "port")).toMatchObject({
      state: "fail",
      found: expect.stringContaining(found),
      todo: expect.any(String),
    });
  });

  it("can't serve with a wrong configuration, and names each problem", async () => {
    const readConfig = async () => ({ config: parseConfig({ port: 99_999, hosst: "x" }, {}) });
    const report = await examine({
      info: BOX,
      readConfig,
      listen: async () => undefined,
      findPython: async () => ({ ok: false, missing: "", install: "" }),
      findCommand: () => undefined,
      tryModel: async () => "untried",
      findAccess: async () => ({ ledger: "memory", access: { kind: "open" } }),
      countModels: async () => 0,
    });
    await expect(readConfig()).rejects.toBeInstanceOf(ConfigError);
    expect(report.canServe).toBe(false);
    const row = report.rows.find(({ check }) => check === "config");
    expect(row?.found).toContain("port");
    expect(row?.found).toContain("hosst");
  });

  it("can't serve a model that does not fit", async () => {
    const tryModel = () => Promise.reject(new Error("big needs 40 GiB, and there are 12 GiB"));
    expect((await look({ tryModel })).canServe).toBe(false);
    expect(await rowOf("model sluice-demo", { tryModel })).toMatchObject({
      state: "fail",
      found: expect.stringContaining("40 GiB"),
    });
  });

  it("does not fetch a model, and says how to", async () => {
    const found = {
      tryModel: async () => "remote" as const,
      config: { models: [{ source: "hf:Qwen/Qwen3-0.6B-GGUF:Q8_0" }] },
    };
    expect(await rowOf("model Qwen/Qwen3-0.6B-GGUF:Q8_0", found)).toMatchObject({
      state: "warn",
      todo: "sluice pull hf:Qwen/Qwen3-0.6B-GGUF:Q8_0",
    });
  });

  it("warns of a backend that is not there, and fails where nobody else serves", async () => {
    const backends = [{ id: "gpu", url: "http://127.0.0.1:1/v1" }];
    const countModels = () => Promise.reject(new Error("can't be reached"));
    expect(await rowOf("backend gpu", { config: { backends } })).toMatchObject({ state: "ok" });
    expect((await look({ config: { backends }, countModels })).canServe).toBe(false);
    const both = await look({ config: { backends, models: [{ source: "demo" }] }, countModels });
    expect(both.canServe).toBe(true);
    expect(both.rows.find(({ check }) => check === "backend gpu")).toMatchObject({ state: "warn" });
  });

  it("looks into the environment that is configured, and can't serve where it lacks the engine", async () => {
    const config = { engine: "vllm", models: [{ source: "/m" }], vllm: { venv: "/v" } };
    expect((await look({ config })).canServe).toBe(false);
    const install = { python: "/v/bin/python", version: "0.33.0" };
    const findPython = async (_engine: string, venv: string | undefined) =>
      ({ ok: venv === "/v", install, missing: "", ...(venv === "/v" ? {} : { install: "" }) }) as FoundPython;
    expect(await rowOf("vllm", { config, findPython })).toMatchObject({
      state: "ok",
      found: "0.33.0 (/v/bin/python)",
    });
  });

  it("looks for llama-server where it is configured, and can't serve by it where it is not", async () => {
    expect(await rowOf("llama_server")).toMatchObject({
      state: "ok",
      found: "not installed",
      todo: expect.stringContaining("`llamaServer.command`"),
    });
    const config = { engine: "llama_server", llamaServer: { command: "/opt/llama/llama-server" } };
    expect((await look({ config })).canServe).toBe(false);
    expect(await rowOf("llama_server", { config })).toMatchObject({
      state: "fail",
      found: "/opt/llama/llama-server was not found",
    });
    const findCommand = (command: string) => (command === "/opt/llama/llama-server" ? command : undefined);
    expect(await rowOf("llama_server", { config, findCommand })).toMatchObject({
      state: "ok",
      found: "/opt/llama/llama-server",
    });
  });

  it("leaves it to vLLM to fetch its model: `sluice pull` is for GGUFs", async () => {
    const config = { engine: "vllm", models: [{ source: "hf:Qwen/Qwen3-8B" }] };
    const row = await rowOf("model Qwen/Qwen3-8B", { config, tryModel: async () => "remote" });
    expect(row).toMatchObject({ state: "ok", found: expect.stringContaining("fetches it") });
    expect(row?.todo).toBeUndefined();
  });

  it("warns of an engine that was asked for and is not there", async () => {
    expect(await rowOf("choice", { config: { engine: "vllm" } })).toMatchObject({
      state: "warn",
      todo: expect.any(String),
    });
  });

  it("warns loudly where everybody is served, and where nobody is yet", async () => {
    const findAccess = (kind: "open" | "admin") => async () => ({ ledger: "memory", access: { kind } });
    expect(await rowOf("keys", { findAccess: findAccess("open") })).toMatchObject({
      state: "warn",
      found: expect.stringContaining("whoever reaches this port may use it"),
      todo: expect.stringContaining("sluice keys create"),
    });
    expect(await rowOf("keys", { findAccess: findAccess("admin") })).toMatchObject({ state: "warn" });
  });

  it("fails where keys are required and there is none, or the ledger can't be opened", async () => {
    const findAccess = () => Promise.reject(new Error("the file is locked"));
    expect((await look({ findAccess })).canServe).toBe(false);
    expect(await rowOf("keys", { findAccess })).toMatchObject({ state: "fail", found: "the file is locked" });
  });
});
