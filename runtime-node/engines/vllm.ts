import type { Command } from "./process-child.ts";
import type { PythonInstall } from "./process-python.ts";
import {
  type EngineKit,
  flags,
  type HostedModel,
  huggingFaceModel,
  percentOf,
  pythonEnvironment,
  refuseOwnFlags,
} from "./supervised-kit.ts";
import { vllmDialect } from "./vllm-dialect.ts";

/** `vllm` in the configuration. */
export interface VllmSettings {
  readonly dtype?: string | undefined;
  readonly contextSize?: number | undefined;
  /** Of the GPU's memory, 0..1. */
  readonly memoryFraction?: number | undefined;
  readonly sequences?: number | undefined;
  readonly quantization?: string | undefined;
  /** Starts in seconds instead of minutes, and answers somewhat slower. */
  readonly eager?: boolean | undefined;
  readonly parallel?: {
    readonly tensor?: number | undefined;
    readonly pipeline?: number | undefined;
    readonly data?: number | undefined;
  };
  readonly distributed?: DistributedSettings | undefined;
  readonly lora?: readonly { readonly name: string; readonly path: string }[];
  /** How the model writes tool calls; vLLM refuses tools without. */
  readonly toolParser?: string | undefined;
  readonly reasoningParser?: string | undefined;
  readonly chatTemplate?: string | undefined;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** Beyond one machine: vLLM's own launch. `ray`: the cluster that `ray start` made; `mp`: a process a machine. */
export type DistributedSettings =
  | { readonly backend: "ray" }
  | {
      readonly backend: "mp";
      readonly nodes: number;
      readonly masterAddress: string;
      readonly masterPort?: number | undefined;
    };

export interface VllmOptions {
  readonly install: PythonInstall;
  readonly settings: VllmSettings;
  readonly isWsl: boolean;
  /** vLLM's CPU build: no GPU was found. */
  readonly isCpu: boolean;
  /** GiB of KV cache on the CPU; undefined: vLLM's own 4. */
  readonly cpuCacheGib?: number | undefined;
}

const OWN_FLAGS = [
  "--host",
  "--port",
  "--uds",
  "--api-key",
  "--served-model-name",
  "--model",
  "--node-rank",
  "--headless",
];

const FATAL = /EngineDeadError|Engine core proc .* died unexpectedly|EngineCore encountered a fatal error/;
/** In lines of these levels stands what clients sent: prompts, names of fields. */
const NO_ERROR = /^(\([^)]*\) )?(DEBUG|INFO|WARNING)\b/;

/** vLLM as a process of ours. */
export function vllmKit(options: VllmOptions): EngineKit {
  return {
    engine: "vllm",
    command: (model, port, key) => vllmCommand(options, model, port, key),
    servedName: ({ id }) => id,
    dialect: () => vllmDialect,
    progressOf: vllmProgress,
    // It ends by itself some seconds after; those who wait needn't.
    isFatal: (line) => FATAL.test(line) && !NO_ERROR.test(line),
  };
}

function vllmCommand(options: VllmOptions, model: HostedModel, port: number, key: string): Command {
  const { install, settings, isWsl, isCpu, cpuCacheGib } = options;
  const { isLocal } = huggingFaceModel("vLLM", model.source);
  const env = {
    ...pythonEnvironment(isLocal),
    VLLM_NO_USAGE_STATS: "1",
    // By the environment: an argument shows in the process list and in its own log.
    VLLM_API_KEY: key,
    // Since 0.24 it dies at start on WSL 2 without (vllm#47387).
    ...(isWsl ? { VLLM_WSL2_ENABLE_PIN_MEMORY: "1" } : {}),
    ...(isCpu && cpuCacheGib !== undefined ? { VLLM_CPU_KVCACHE_SPACE: String(cpuCacheGib) } : {}),
    ...settings.env,
  };
  const args = buildVllmArgs(settings, model, port);
  if (install.command !== undefined) return { file: install.command, args: ["serve", ...args], env };
  // The command asks for a distribution named vllm; a build of another name (vllm-cpu) has the module alone.
  const [name = "", ...rest] = args;
  const module = ["-m", "vllm.entrypoints.openai.api_server", "--model", name];
  return { file: install.python, args: [...module, ...rest], env };
}

/**
 * The arguments after `vllm serve`, of the first (or only) machine.
 *
 * @example
 * buildVllmArgs({ parallel: { tensor: 2 } }, { id: "qwen", source: "hf:Qwen/Qwen3-8B", bytes: 0 }, 9000)
 * // Qwen/Qwen3-8B --served-model-name qwen --host 127.0.0.1 --port 9000 … --tensor-parallel-size 2
 */
export function buildVllmArgs(settings: VllmSettings, model: HostedModel, port: number): readonly string[] {
  const { args = [], lora = [] } = settings;
  refuseOwnFlags("vllm", args, OWN_FLAGS);
  return [
    ...modelArgs(settings, model),
    ...flags({ "served-model-name": model.id, host: "127.0.0.1", port }),
    ...flags({
      // The model's own file would change what a request without a temperature gets.
      "generation-config": "vllm",
      "enable-prompt-tokens-details": true,
      "disable-uvicorn-access-log": true,
      "enable-auto-tool-choice": settings.toolParser !== undefined,
      "tool-call-parser": settings.toolParser,
      "reasoning-parser": settings.reasoningParser,
      "chat-template": settings.chatTemplate,
    }),
    ...(lora.length > 0
      ? ["--enable-lora", "--lora-modules", ...lora.map(({ name, path }) => `${name}=${path}`)]
      : []),
    ...distributedArgs(settings.distributed, 0),
    ...args,
  ];
}

/** The command for machine `rank` (1 …) of an `mp` launch: it has no API, and is started there by hand. */
export function vllmWorkerArgs(settings: VllmSettings, model: HostedModel, rank: number): readonly string[] {
  const { distributed, args = [] } = settings;
  if (distributed?.backend !== "mp")
    throw new Error("vllm: with ray the other machines run `ray start --address=…`");
  if (!Number.isInteger(rank) || rank < 1 || rank >= distributed.nodes)
    throw new Error(`vllm: machine ${rank} is none of 1 to ${distributed.nodes - 1}`);
  return ["serve", ...modelArgs(settings, model), ...distributedArgs(distributed, rank), ...args];
}

/** What every machine of a launch must be told alike. */
function modelArgs(settings: VllmSettings, { source, contextSize }: HostedModel): readonly string[] {
  const { parallel = {} } = settings;
  return [
    huggingFaceModel("vLLM", source).model,
    ...flags({
      dtype: settings.dtype,
      "max-model-len": contextSize ?? settings.contextSize,
      "gpu-memory-utilization": settings.memoryFraction,
      "max-num-seqs": settings.sequences,
      quantization: settings.quantization,
      "enforce-eager": settings.eager,
      "tensor-parallel-size": parallel.tensor,
      "pipeline-parallel-size": parallel.pipeline,
      "data-parallel-size": parallel.data,
    }),
  ];
}

function distributedArgs(distributed: DistributedSettings | undefined, rank: number): readonly string[] {
  switch (distributed?.backend) {
    case undefined:
      return [];
    case "ray":
      return flags({ "distributed-executor-backend": "ray" });
    case "mp":
      return flags({
        "distributed-executor-backend": "mp",
        nnodes: distributed.nodes,
        "node-rank": rank,
        "master-addr": distributed.masterAddress,
        "master-port": distributed.masterPort,
        headless: rank > 0,
      });
    default:
      return distributed satisfies never;
  }
}

/** In the order of a start (log lines of 0.32; reference/engines.md 3.4). */
const STAGES: readonly (readonly [RegExp, string])[] = [
  [/Available routes are|Application startup complete|Starting vLLM (API )?server/, "opens its port"],
  [/GPU KV cache size|CPU KV cache size|Maximum concurrency/, "sets up its cache"],
  [/Capturing CUDA graphs|Graph capturing/i, "captures graphs"],
  [/torch\.compile|Compiling a graph|Dynamo bytecode/i, "compiles"],
  [/Loading (safetensors|pt|model) (checkpoint )?(shards|weights)|Loading weights/i, "loads weights"],
  [/Starting to load model/, "loads weights"],
  [/Fetching \d+ files|Downloading/i, "downloads"],
  [/Initializing a V1 LLM engine|Waiting for init message/, "starts its engine"],
  [/Resolved architecture|Using max model len/, "reads the model"],
  [/API server version|non-default args/, "reads its options"],
];

export function vllmProgress(line: string): string | undefined {
  const stage = STAGES.find(([pattern]) => pattern.test(line))?.[1];
  const percent =
    stage === "loads weights" || stage === "captures graphs" || stage === "downloads"
      ? percentOf(line)
      : undefined;
  return percent === undefined ? stage : `${stage} (${percent})`;
}
