import { describe, expect, it } from "vitest";
import {
  buildLlamaServerArgs,
  llamaServerKit,
  llamaServerProgress,
} from "../../../../runtime-node/engines/llama-server.ts";
import { buildMlxArgs, mlxKit } from "../../../../runtime-node/engines/mlx.ts";
import { findPython } from "../../../../runtime-node/engines/process-python.ts";
import type { HostedModel } from "../../../../runtime-node/engines/supervised-kit.ts";
import {
  buildVllmArgs,
  type VllmSettings,
  vllmKit,
  vllmProgress,
  vllmWorkerArgs,
} from "../../../../runtime-node/engines/vllm.ts";
import type { MachineEffects } from "../../../../runtime-node/probe-effects.ts";

const WANTED = new AbortController().signal;
const MODEL: HostedModel = { id: "qwen", source: "hf:Qwen/Qwen3-8B", bytes: 0 };
const BASE =
  "--served-model-name qwen --host 127.0.0.1 --port 9000 --generation-config vllm --enable-prompt-tokens-details --disable-uvicorn-access-log";

describe("vLLM's arguments", () => {
  const line = (settings: VllmSettings, model = MODEL) => buildVllmArgs(settings, model, 9000).join(" ");
  it.each<[string, VllmSettings, string]>([
    ["nothing set", {}, `Qwen/Qwen3-8B ${BASE}`],
    [
      "sizes",
      {
        dtype: "float16",
        contextSize: 8192,
        memoryFraction: 0.8,
        sequences: 32,
        quantization: "awq",
        eager: true,
      },
      `Qwen/Qwen3-8B --dtype float16 --max-model-len 8192 --gpu-memory-utilization 0.8 --max-num-seqs 32 --quantization awq --enforce-eager ${BASE}`,
    ],
    [
      "parallel",
      { parallel: { tensor: 4, pipeline: 2, data: 2 } },
      `Qwen/Qwen3-8B --tensor-parallel-size 4 --pipeline-parallel-size 2 --data-parallel-size 2 ${BASE}`,
    ],
    [
      "tools, reasoning and a template",
      { toolParser: "hermes", reasoningParser: "qwen3", chatTemplate: "/t.jinja" },
      `Qwen/Qwen3-8B ${BASE} --enable-auto-tool-choice --tool-call-parser hermes --reasoning-parser qwen3 --chat-template /t.jinja`,
    ],
    [
      "LoRA",
      {
        lora: [
          { name: "sql", path: "/l/sql" },
          { name: "de", path: "/l/de" },
        ],
      },
      `Qwen/Qwen3-8B ${BASE} --enable-lora --lora-modules sql=/l/sql de=/l/de`,
    ],
    [
      "Ray over several machines",
      { parallel: { tensor: 8, pipeline: 2 }, distributed: { backend: "ray" } },
      `Qwen/Qwen3-8B --tensor-parallel-size 8 --pipeline-parallel-size 2 ${BASE} --distributed-executor-backend ray`,
    ],
    [
      "a process a machine",
      { distributed: { backend: "mp", nodes: 2, masterAddress: "10.0.0.1", masterPort: 29501 } },
      `Qwen/Qwen3-8B ${BASE} --distributed-executor-backend mp --nnodes 2 --node-rank 0 --master-addr 10.0.0.1 --master-port 29501`,
    ],
    [
      "what else was asked for, last",
      { args: ["--swap-space", "4"] },
      `Qwen/Qwen3-8B ${BASE} --swap-space 4`,
    ],
  ])("%s", (_name, settings, expected) => {
    expect(line(settings)).toBe(expected);
  });

  it("take a directory as it is, and no GGUF", () => {
    expect(line({}, { ...MODEL, source: "/models/qwen" })).toMatch(/^\/models\/qwen /);
    for (const source of ["demo", "/m/a.gguf", "hf:a/b:Q4_K_M", "hf:a/b/c.gguf"])
      expect(() => line({}, { ...MODEL, source })).toThrow("Hugging Face directories");
  });

  it.each(["--port", "--api-key=x", "--host"])("don't let `args` set %s", (flag) => {
    expect(() => line({ args: [flag, "1"] })).toThrow("Sluice sets it itself");
  });

  it("for the other machines of an mp launch are the same, without an API", () => {
    const settings: VllmSettings = {
      parallel: { tensor: 8, pipeline: 2 },
      distributed: { backend: "mp", nodes: 2, masterAddress: "10.0.0.1" },
    };
    expect(vllmWorkerArgs(settings, MODEL, 1).join(" ")).toBe(
      "serve Qwen/Qwen3-8B --tensor-parallel-size 8 --pipeline-parallel-size 2 --distributed-executor-backend mp --nnodes 2 --node-rank 1 --master-addr 10.0.0.1 --headless",
    );
    expect(() => vllmWorkerArgs(settings, MODEL, 2)).toThrow("none of 1 to 1");
    expect(() => vllmWorkerArgs({ distributed: { backend: "ray" } }, MODEL, 1)).toThrow("ray start");
  });
});

describe("vLLM's command", () => {
  const kit = (more: object) =>
    vllmKit({
      install: { python: "/v/bin/python", version: "0.33.0" },
      settings: {},
      isWsl: false,
      isCpu: false,
      ...more,
    });

  it("is `vllm serve`, or its module where the command is broken; the key is no argument", async () => {
    const install = { python: "/v/bin/python", command: "/v/bin/vllm", version: "0.33.0" };
    const command = await kit({ install }).command(MODEL, 9000, "sk-secret", WANTED);
    expect(command.file).toBe("/v/bin/vllm");
    expect(command.args.slice(0, 2)).toEqual(["serve", "Qwen/Qwen3-8B"]);
    expect(command.args.join(" ")).not.toContain("sk-secret");
    expect(command.env).toMatchObject({
      VLLM_API_KEY: "sk-secret",
      PYTHONUNBUFFERED: "1",
      VLLM_NO_USAGE_STATS: "1",
    });
    const module = await kit({}).command(MODEL, 9000, "k", WANTED);
    expect([module.file, ...module.args.slice(0, 4)]).toEqual([
      "/v/bin/python",
      "-m",
      "vllm.entrypoints.openai.api_server",
      "--model",
      "Qwen/Qwen3-8B",
    ]);
  });

  it("has what WSL, the CPU build and a local model need in its environment", async () => {
    expect((await kit({}).command(MODEL, 1, "k", WANTED)).env).not.toHaveProperty("HF_HUB_OFFLINE");
    const { env } = await kit({ isWsl: true, isCpu: true, cpuCacheGib: 1 }).command(
      { ...MODEL, source: "/m" },
      1,
      "k",
      WANTED,
    );
    expect(env).toMatchObject({
      HF_HUB_OFFLINE: "1",
      VLLM_WSL2_ENABLE_PIN_MEMORY: "1",
      VLLM_CPU_KVCACHE_SPACE: "1",
    });
  });
});

describe("the others' arguments", () => {
  it("MLX", async () => {
    const settings = { sequences: 8, promptSequences: 2, prefillChunk: 512, args: ["--log-x"] };
    expect(buildMlxArgs(settings, "/m", 9000).join(" ")).toBe(
      "--model /m --host 127.0.0.1 --port 9000 --decode-concurrency 8 --prompt-concurrency 2 --prefill-step-size 512 --log-x",
    );
    const kit = mlxKit({ install: { python: "/v/bin/python", version: "1" }, settings: {} });
    expect((await kit.command({ ...MODEL, source: "/m" }, 1, "k", WANTED)).args.slice(0, 2)).toEqual([
      "-m",
      "mlx_lm.server",
    ]);
  });

  it("llama-server: its context is for all sequences together", () => {
    const settings = { command: "llama-server", contextSize: 4096, sequences: 4, threads: 8, gpuLayers: 99 };
    expect(buildLlamaServerArgs(settings, { ...MODEL, source: "/m.gguf" }, 9000).join(" ")).toBe(
      "--model /m.gguf --alias qwen --host 127.0.0.1 --port 9000 --ctx-size 16384 --parallel 4 --threads 8 --gpu-layers 99 --jinja --no-webui",
    );
  });

  it("llama-server: its model is fetched for as long as the start is wanted", async () => {
    const kit = llamaServerKit({ command: "llama-server" }, async (source, signal) => {
      expect([source, signal]).toEqual(["hf:user/repo:Q4_0", WANTED]);
      return "/cache/m.gguf";
    });
    const { args } = await kit.command({ ...MODEL, source: "hf:user/repo:Q4_0" }, 1, "k", WANTED);
    expect(args.slice(0, 2)).toEqual(["--model", "/cache/m.gguf"]);
  });
});

describe("a line of vLLM after which it is of no use", () => {
  const install = { python: "/v/bin/python", version: "0.33.0" };
  const { isFatal } = vllmKit({ install, settings: {}, isWsl: false, isCpu: false });

  it.each([
    "(APIServer pid=1) ERROR 10-20 03:20:50 [async_llm.py:485] vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue.",
    "(EngineCore_DP0 pid=2) ERROR 10-20 03:20:50 [core.py:710] EngineCore encountered a fatal error.",
    "ERROR 10-20 03:20:50 [core_client.py:564] Engine core proc EngineCore_DP0 died unexpectedly, shutting down client.",
    "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue.",
  ])("is its own: %s", (line) => {
    expect(isFatal(line)).toBe(true);
  });

  it.each([
    "(APIServer pid=1) INFO 10-20 03:20:50 [logger.py:40] Received request cmpl-1: prompt: 'ERROR EngineDeadError: x'",
    "WARNING 10-20 03:20:50 [protocol.py:51] The following fields were present in the request but ignored: {'EngineDeadError'}",
    "(APIServer pid=1) DEBUG 10-20 03:20:50 [protocol.py:73] The following fields were present in the request but ignored: {'EngineDeadError'}",
  ])("is none that only repeats what a client sent: %s", (line) => {
    expect(isFatal(line)).toBe(false);
  });
});

describe("the stages of a start", () => {
  it.each([
    [
      "(APIServer pid=1) INFO 11-25 12:28:19 [model.py:733] Resolved architecture: LlamaForCausalLM",
      "reads the model",
    ],
    ["(Worker pid=2) INFO [gpu_model_runner.py:1] Starting to load model x...", "loads weights"],
    [
      "Loading safetensors checkpoint shards:  50% Completed | 1/2 [00:01<00:01,  1.2s/it]",
      "loads weights (50%)",
    ],
    ["Capturing CUDA graphs (decode, FULL):  31%|███       | 11/35", "captures graphs (31%)"],
    ["INFO [kv_cache_utils.py:1] GPU KV cache size: 9,999 tokens", "sets up its cache"],
    ["INFO:     Application startup complete.", "opens its port"],
    ['INFO:     127.0.0.1:1 - "GET /health HTTP/1.1" 200 OK', undefined],
  ])("of vLLM: %s", (line, stage) => {
    expect(vllmProgress(line)).toBe(stage);
  });

  it("of llama-server", () => {
    expect(llamaServerProgress("main: server is listening on http://127.0.0.1:1")).toBe("opens its port");
    expect(llamaServerProgress("load_tensors: loading model tensors")).toBe("loads weights");
  });
});

describe("finding Python", () => {
  /** A machine where each interpreter has the packages named. */
  const machine = (
    pythons: Record<string, Record<string, string>>,
    files: Record<string, string> = {},
  ): MachineEffects => ({
    platform: "linux",
    arch: "x64",
    env: { PATH: "/usr/bin", HOME: "/home/me" },
    readText: (path) => files[path],
    list: () => [],
    isExecutable: (path) => path in pythons || path in files,
    run: async (python) => ({
      ok: true,
      stdout: JSON.stringify({
        prefix: python.replace(/\/bin\/[^/]+$/, ""),
        versions: pythons[python] ?? {},
      }),
    }),
    cpus: () => ({ model: "", count: 1, available: 1 }),
    memory: () => ({ totalBytes: 1, freeBytes: 1 }),
  });

  it("takes the configured environment and no other", async () => {
    const effects = machine({ "/v/bin/python": {}, "/usr/bin/python3": { vllm: "1" } });
    expect(await findPython("vllm", "/v", effects)).toEqual({
      ok: false,
      missing: "vllm is not installed: /v has it not.",
      install: "/v/bin/pip install vllm",
    });
  });

  it("follows the command on PATH, then uv's tools, then python3", async () => {
    const script = { "/usr/bin/vllm": "#!/opt/v/bin/python3\nimport sys", "/opt/v/bin/vllm": "" };
    const all = {
      "/opt/v/bin/python3": { vllm: "0.33.0" },
      "/home/me/.local/share/uv/tools/mlx-lm/bin/python": { "mlx-lm": "0.32.2" },
      "/usr/bin/python3": { vllm: "0.1" },
    };
    expect(await findPython("vllm", undefined, machine(all, script))).toEqual({
      ok: true,
      install: { python: "/opt/v/bin/python3", command: "/opt/v/bin/vllm", version: "0.33.0" },
    });
    expect(await findPython("mlx", undefined, machine(all))).toMatchObject({
      ok: true,
      install: { python: "/home/me/.local/share/uv/tools/mlx-lm/bin/python", version: "0.32.2" },
    });
    expect(await findPython("vllm", undefined, machine(all))).toMatchObject({ install: { version: "0.1" } });
  });

  it("starts the module where vLLM goes by another name: its command asks for a package named vllm", async () => {
    const effects = machine({ "/v/bin/python": { "vllm-cpu": "0.32.0" } }, { "/v/bin/vllm": "" });
    expect(await findPython("vllm", "/v", effects)).toEqual({
      ok: true,
      install: { python: "/v/bin/python", version: "0.32.0" },
    });
  });

  it("says how to install what is nowhere", async () => {
    expect(await findPython("mlx", undefined, machine({}))).toMatchObject({
      install: "pip install 'mlx-lm[cpu]'",
    });
  });
});
