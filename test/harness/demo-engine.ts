import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLlamaCppEngine } from "../../runtime-node/engines/llama-cpp.ts";
import type { GeneratingEngine } from "../../shared/engine.ts";

/** The demo model's file: what `source: demo` stands for. */
export const DEMO_MODEL = new URL("../../runtime-node/models/demo/sluice-demo.gguf", import.meta.url)
  .pathname;
export const DEMO_CONTEXT = 256;
/** The demo model answers it at length: that it can't. */
export const LONG_QUESTION = "Tell me a long story about a river.";
/** The same as a bare prompt, in the model's own chat format. */
export const LONG_PROMPT = `<|im_start|>user\n${LONG_QUESTION}<|im_end|>\n<|im_start|>assistant\n`;

/** The real llama.cpp engine, small and without measuring this machine. No model is loaded yet. */
export function demoEngine({ contextSize = DEMO_CONTEXT } = {}): GeneratingEngine {
  const quiet = () => {};
  return createLlamaCppEngine({
    contextSize,
    sequences: 4,
    threads: 1,
    prefillThreads: 1,
    queueLimit: 16,
    cacheDir: join(tmpdir(), "sluice-test-cache"),
    cpuBudget: 1,
    memoryBytes: 2 ** 32,
    gpu: false,
    log: { debug: quiet, info: quiet, warn: quiet },
  });
}
