import { z } from "zod";
import { modelName, wholeNumber } from "./config-values.ts";

/** Settings of the engines that run as processes of their own. Messages and descriptions as in `config-schema.ts`. */

const size = (what: string) => wholeNumber(1, 4096).optional().describe(what);
const childArgs = z.array(z.string()).default([]).describe("Further arguments, passed on as they are.");
const childEnv = z.record(z.string(), z.string()).default({}).describe("Further environment variables.");
const venv = z.string().min(1).optional();

export const vllm = z.strictObject({
  venv: venv.describe(
    "Python environment that has vLLM; left out, the active one, uv's tools, then python3.",
  ),
  dtype: z
    .enum(["auto", "float32", "float16", "bfloat16"])
    .optional()
    .describe("Number format of the weights."),
  contextSize: wholeNumber(32, 16_777_216).optional().describe("Tokens of prompt and completion together."),
  memoryFraction: z.number().gt(0).max(1).optional().describe("Share of the GPU's memory that it takes."),
  sequences: size("Streams that generate at the same time."),
  quantization: z.string().min(1).optional().describe("How the weights are quantized, as vLLM names it."),
  eager: z.boolean().optional().describe("Start without compiling: in seconds, and somewhat slower after."),
  parallel: z
    .strictObject({
      tensor: size("GPUs that share each layer."),
      pipeline: size("Groups of layers, one after the other."),
      data: size("Copies of the model."),
    })
    .optional()
    .describe("How the model is spread over GPUs."),
  distributed: z
    .discriminatedUnion("backend", [
      z.strictObject({ backend: z.literal("ray").describe("The cluster that `ray start` made.") }),
      z.strictObject({
        backend: z.literal("mp").describe("A process a machine; the others are started by hand."),
        nodes: wholeNumber(2, 1024).describe("Machines."),
        masterAddress: z.string().min(1).describe("This machine's address for the others."),
        masterPort: wholeNumber(1, 65_535).optional().describe("Its port for them."),
      }),
    ])
    .optional()
    .describe("Beyond one machine: vLLM's own launch."),
  lora: z
    .array(
      z.strictObject({
        name: modelName.describe("The adapter's name."),
        path: z.string().min(1).describe("Its directory."),
      }),
    )
    .default([])
    .describe("LoRA adapters to load."),
  toolParser: z
    .string()
    .min(1)
    .optional()
    .describe("How the model writes tool calls (`hermes`, …); without it tools are refused."),
  reasoningParser: z.string().min(1).optional().describe("How the model writes its reasoning."),
  chatTemplate: z.string().min(1).optional().describe("A chat template in place of the model's own."),
  cpuCacheGib: wholeNumber(1, 1024).optional().describe("Without a GPU: memory for its cache, in GiB."),
  args: childArgs,
  env: childEnv,
});

export const mlx = z.strictObject({
  venv: venv.describe(
    "Python environment that has mlx-lm; left out, the active one, uv's tools, then python3.",
  ),
  contextSize: wholeNumber(32, 16_777_216).optional().describe("Tokens of prompt and completion together."),
  sequences: size("Streams that generate at the same time."),
  promptSequences: size("Prompts that are computed at the same time."),
  prefillChunk: wholeNumber(1, 65_536).optional().describe("Prompt tokens computed at a time."),
  adapter: z.string().min(1).optional().describe("Directory of a trained adapter."),
  chatTemplate: z.string().min(1).optional().describe("A chat template in place of the model's own."),
  args: childArgs,
  env: childEnv,
});

export const llamaServer = z.strictObject({
  command: z.string().min(1).default("llama-server").describe("The binary: a path, or a name on PATH."),
  contextSize: wholeNumber(32, 16_777_216).optional().describe("Tokens of context for each sequence."),
  sequences: size("Streams that generate at the same time."),
  threads: wholeNumber(1, 1024).optional().describe("Threads for decoding."),
  gpuLayers: wholeNumber(0, 10_000).optional().describe("Layers to put on the GPU."),
  args: childArgs,
  env: childEnv,
});

export const loading = z.strictObject({
  memoryBytes: wholeNumber(1, Number.MAX_SAFE_INTEGER)
    .optional()
    .describe("Memory for all loaded models together, in bytes; the longest unused one makes room."),
  maxLoaded: wholeNumber(1, 1000).optional().describe("Models loaded at the same time."),
  queueLimit: wholeNumber(0, 1_000_000)
    .default(256)
    .describe("Requests that may wait for a model to load; beyond, 429."),
});
