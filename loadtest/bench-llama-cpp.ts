import { mkdtemp, rm } from "node:fs/promises";
import { availableParallelism, freemem, tmpdir } from "node:os";
import { join } from "node:path";
import { createLlamaCppEngine } from "../runtime-node/engines/llama-cpp.ts";
import type { GeneratingEngine } from "../shared/engine.ts";
import { BENCH_MODEL, type EngineBench } from "./bench-llama-cpp-request.ts";
import { compareTexts, measureAbort, measureCache, measureStall } from "./bench-llama-cpp-sequences.ts";
import { compareGrammar, compareSpeed } from "./bench-llama-cpp-speed.ts";
import { controlTokens } from "./raw-loop.ts";

/**
 * What the llama.cpp engine promises, measured on this machine: `npm run bench:engine -- [model.gguf]`, with `-- --grammar` what constrained
 * decoding costs. Speed is compared with node-llama-cpp's own `evaluate` loop over as many sequences, in turns, with the same number of threads.
 * Exits with 1 when a promise isn't kept.
 */
const DEMO = new URL("../runtime-node/models/demo/sluice-demo.gguf", import.meta.url).pathname;

const isGrammarOnly = process.argv.includes("--grammar");
const path = process.argv.slice(2).find((argument) => !argument.startsWith("--")) ?? DEMO;
const failures: string[] = [];
const cacheDir = await mkdtemp(join(tmpdir(), "sluice-bench-"));
const engine = await load();
const bench: EngineBench = { engine, path, banned: await controlTokens(path), promise };
try {
  if (isGrammarOnly) await compareGrammar(bench);
  else {
    await compareSpeed(bench);
    await compareTexts(bench);
    await measureStall(bench);
    await measureAbort(bench);
    await measureCache(bench);
  }
} finally {
  await engine.close();
  await rm(cacheDir, { recursive: true });
}
for (const failure of failures) console.log(`NOT KEPT: ${failure}`);
process.exitCode = failures.length === 0 ? 0 : 1;

function promise(isKept: boolean, text: string): void {
  console.log(`${isKept ? "kept    " : "NOT KEPT"}  ${text}`);
  if (!isKept) failures.push(text);
}

async function load(): Promise<GeneratingEngine> {
  const quiet = () => {};
  const engine = createLlamaCppEngine({
    sequences: 64,
    contextSize: 2048,
    cacheDir,
    cpuBudget: availableParallelism(),
    memoryBytes: freemem(),
    gpu: false,
    log: { debug: quiet, info: quiet, warn: console.warn },
  });
  const start = performance.now();
  await engine.initialize();
  const initialized = performance.now();
  await engine.loadModel(BENCH_MODEL, path);
  const loaded = performance.now();
  console.log(
    `started llama.cpp in ${(initialized - start).toFixed(0)} ms, loaded and calibrated in ${(loaded - initialized).toFixed(0)} ms`,
  );
  console.log(engine.status().details);
  return engine;
}
