import { tmpdir } from "node:os";
import { join } from "node:path";
import { inject } from "vitest";
import { createHttpEngine } from "../../functions/backends/http-engine.ts";
import { createLlamaCppEngine } from "../../runtime-node/engines/llama-cpp.ts";
import { createTransport } from "../../runtime-node/transport.ts";
import type { Engine, GeneratingEngine } from "../../shared/engine.ts";
import type { HostOptions } from "./host.ts";
import { MODEL } from "./wire.ts";

declare module "vitest" {
  export interface ProvidedContext {
    /** Where `npm run test:engines` runs these tests in front of a real engine: the Sluice that serves it. */
    readonly realEngine?: { readonly name: string; readonly url: string; readonly contextSize: number };
  }
}

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

/** The engine behind the clients' tests: this process's own, ready to load, or the real one of `npm run test:engines`. */
export async function testEngine(contextSize: number): Promise<Engine> {
  const real = inject("realEngine");
  if (real !== undefined) return realEngine(real.name, real.url);
  const engine = demoEngine({ contextSize });
  await engine.initialize();
  return engine;
}

/** A host with the demo model on it. */
export async function demoHost(contextSize = 1024): Promise<HostOptions> {
  return {
    config: { models: [{ id: MODEL, source: DEMO_MODEL }] },
    engine: await testEngine(contextSize),
  };
}

function realEngine(id: string, url: string): Engine {
  const { transport, close } = createTransport(5000);
  const timeouts = { headersTimeoutMs: 120_000, idleTimeoutMs: 120_000 };
  const engine = createHttpEngine({
    id,
    url: `${url}/v1`,
    apiKey: undefined,
    headers: {},
    models: [MODEL],
    transport,
    ...timeouts,
  });
  return { ...engine, close: () => engine.close().then(close) };
}
