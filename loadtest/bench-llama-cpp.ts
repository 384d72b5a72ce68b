// Past 300 lines: one bench, and its promises are read together.
import { mkdtemp, rm } from "node:fs/promises";
import { availableParallelism, freemem, tmpdir } from "node:os";
import { join } from "node:path";
import { createLlamaCppEngine } from "../runtime-node/engines/llama-cpp.ts";
import type { GenerateRequest, GeneratingEngine, Prompt } from "../shared/engine.ts";
import { controlTokens, createRawLoop } from "./raw-loop.ts";

/**
 * What the llama.cpp engine promises, measured on this machine: `npm run bench:engine -- [model.gguf]`, with `-- --grammar` what constrained
 * decoding costs. Speed is compared with node-llama-cpp's own `evaluate` loop over as many sequences, in turns, with the same number of threads.
 * Exits with 1 when a promise isn't kept.
 */
const DEMO = new URL("../runtime-node/models/demo/sluice-demo.gguf", import.meta.url).pathname;
const MODEL = "bench";
const STREAMS = [1, 8, 16, 64];
const TOKENS = 64;
const ROUNDS = 3;
/** The streams beside a long prompt are held up by no more than so many token times, or so many ms. */
const STALL_TOKENS = 5;
const STALL_MS = 250;
const ABORT_MS = 100;
const LONG_PROMPT_TOKENS = 900;
const GRAMMAR_STREAMS = 16;
/** Constrained decoding costs a quarter of the tokens a second at the most. */
const GRAMMAR_RATIO = 0.75;

const isGrammarOnly = process.argv.includes("--grammar");
const path = process.argv.slice(2).find((argument) => !argument.startsWith("--")) ?? DEMO;
/** Banned where a stream must not end by itself. */
const banned = await controlTokens(path);
const failures: string[] = [];
const cacheDir = await mkdtemp(join(tmpdir(), "sluice-bench-"));
const engine = await load();
try {
  if (isGrammarOnly) await compareGrammar(engine);
  else {
    await compareSpeed(engine);
    await compareTexts(engine);
    await measureStall(engine);
    await measureAbort(engine);
    await measureCache(engine);
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
  await engine.loadModel(MODEL, path);
  const loaded = performance.now();
  console.log(
    `started llama.cpp in ${ms(initialized - start)}, loaded and calibrated in ${ms(loaded - initialized)}`,
  );
  console.log(engine.status().details);
  return engine;
}

/** Tokens a second of all streams, by the clock and by the processor; medians of rounds taken in turns. */
async function compareSpeed(engine: GeneratingEngine): Promise<void> {
  const threads = Number(engine.status().details.threads);
  const raw = await createRawLoop(path, { sequences: 64, contextSize: 2048, threads, banned });
  console.log("\nstreams   engine tok/s   raw loop tok/s   ratio   ratio by CPU time");
  for (const streams of STREAMS) {
    const rounds: (readonly [Speed, Speed])[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const ours = await speed(() => runStreams(engine, streams, `${streams}.${round}`));
      rounds.push([ours, await speed(() => raw.run(streams, TOKENS))]);
    }
    const [ours, theirs] = [median(rounds.map(([a]) => a.wall)), median(rounds.map(([, b]) => b.wall))];
    const [ratio, cpuRatio] = [
      median(rounds.map(([a, b]) => a.wall / b.wall)),
      median(rounds.map(([a, b]) => a.cpu / b.cpu)),
    ];
    const columns = [streams, ours.toFixed(0), theirs.toFixed(0), ratio.toFixed(2), cpuRatio.toFixed(2)];
    console.log(columns.map((column, i) => String(column).padStart([7, 14, 16, 7, 19][i] ?? 0)).join(" "));
  }
  await raw.close();
}

interface Speed {
  readonly wall: number;
  readonly cpu: number;
}

async function speed(run: () => Promise<number>): Promise<Speed> {
  const [start, cpu] = [performance.now(), process.cpuUsage()];
  const tokens = await run();
  const { user, system } = process.cpuUsage(cpu);
  return { wall: (1000 * tokens) / (performance.now() - start), cpu: (1e6 * tokens) / (user + system) };
}

async function runStreams(engine: GeneratingEngine, streams: number, salt: string): Promise<number> {
  const counts = await Promise.all(
    Array.from({ length: streams }, async (_, i) => {
      const request = wish(text(`${salt} stream ${i}: once upon a time`), {
        maxTokens: TOKENS,
        isEndless: true,
      });
      await drain(engine, request);
      return request.counts.completionTokens;
    }),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

/** Tokens a second of 16 streams held to a JSON schema, against as many that are free, in turns. */
async function compareGrammar(engine: GeneratingEngine): Promise<void> {
  const item = {
    type: "object",
    properties: {
      city: { type: "string", minLength: 20 },
      days: { type: "integer" },
      note: { type: "string" },
    },
    required: ["city", "days", "note"],
    additionalProperties: false,
  };
  const format = {
    kind: "json_schema",
    schema: { type: "array", items: item, minItems: 50 },
    param: "bench",
  } as const;
  const run = async (held: boolean) => {
    const counts = await Promise.all(
      Array.from({ length: GRAMMAR_STREAMS }, async (_, i) => {
        const free = wish(chat(`Write list ${i}.`), { maxTokens: 2 * TOKENS, isEndless: true });
        const request = held ? { ...free, format } : free;
        await drain(engine, request);
        return request.counts.completionTokens;
      }),
    );
    return counts.reduce((sum, count) => sum + count, 0);
  };
  await run(true); // The grammar is compiled once a schema.
  const rounds: (readonly [Speed, Speed])[] = [];
  for (let round = 0; round < 2 * ROUNDS + 1; round++)
    rounds.push([await speed(() => run(true)), await speed(() => run(false))]);
  const wall = median(rounds.map(([held, free]) => held.wall / free.wall));
  const cpu = median(rounds.map(([held, free]) => held.cpu / free.cpu));
  const [held, free] = [median(rounds.map(([a]) => a.wall)), median(rounds.map(([, b]) => b.wall))];
  promise(
    wall >= GRAMMAR_RATIO,
    `${GRAMMAR_STREAMS} streams held to a schema: ${held.toFixed(0)} tok/s against ${free.toFixed(0)} free, ratio ${wall.toFixed(2)} (by CPU time ${cpu.toFixed(2)})`,
  );
}

async function compareTexts(engine: GeneratingEngine): Promise<void> {
  for (const temperature of [0, 0.8]) {
    const requests = () =>
      Array.from({ length: 64 }, (_, seed) =>
        wish(chat(`${"Please. ".repeat(seed % 9)}Tell me about number ${seed}.`), { temperature, seed }),
      );
    const together = await Promise.all(requests().map((request) => drain(engine, request)));
    const alone: string[] = [];
    for (const request of requests()) alone.push(await drain(engine, request));
    const same = together.filter((text, i) => text === alone[i]).length;
    promise(
      same === 64,
      `64 streams at once, temperature ${temperature}: ${same} of 64 wrote what they write alone`,
    );
  }
}

/** A long prompt arrives beside 8 streams. */
async function measureStall(engine: GeneratingEngine): Promise<void> {
  const stop = new AbortController();
  const gaps: { readonly at: number; readonly ms: number }[] = [];
  const streams = Array.from({ length: 8 }, async (_, i) => {
    const request = wish(text(`Stream ${i} counts: one two`), {
      maxTokens: 1500,
      isEndless: true,
      signal: stop.signal,
    });
    let last = performance.now();
    for await (const event of engine.generate(request)) {
      if (event.type !== "text") continue;
      const now = performance.now();
      gaps.push({ at: now, ms: now - last });
      last = now;
    }
  });
  await until(() => gaps.length > 8 * 40);
  const arrived = performance.now();
  const tokenMs = median(gaps.slice(8 * 10).map((gap) => gap.ms));
  const tokens = Array.from({ length: LONG_PROMPT_TOKENS }, (_, i) => 100 + ((i * 37) % 900));
  await drain(engine, wish({ kind: "tokens", tokens }, { maxTokens: 1 }));
  const readMs = performance.now() - arrived;
  stop.abort();
  await Promise.allSettled(streams);
  const longest = Math.max(...gaps.filter((gap) => gap.at >= arrived).map((gap) => gap.ms));
  promise(
    longest <= Math.max(STALL_TOKENS * tokenMs, STALL_MS),
    `a ${LONG_PROMPT_TOKENS}-token prompt (read in ${ms(readMs)}) beside 8 streams: longest gap ${ms(longest)}, a token takes ${ms(tokenMs)}`,
  );
}

async function measureAbort(engine: GeneratingEngine): Promise<void> {
  const stops = Array.from({ length: 64 }, () => new AbortController());
  let started = 0;
  const streams = stops.map(async ({ signal }, i) => {
    const request = wish(text(`Abort ${i}: one two`), { maxTokens: 1500, isEndless: true, signal });
    try {
      for await (const event of engine.generate(request)) if (event.type === "prompt") started++;
    } catch {} // Aborted, as it should be.
  });
  await until(() => started === 64);
  const start = performance.now();
  for (const stop of stops.slice(0, 32)) stop.abort();
  await until(() => engine.status().active === 32);
  const took = performance.now() - start;
  promise(took <= ABORT_MS, `32 of 64 streams aborted: their sequences were free after ${ms(took)}`);
  for (const stop of stops) stop.abort();
  await Promise.all(streams);
}

async function measureCache(engine: GeneratingEngine): Promise<void> {
  const tokens = Array.from({ length: LONG_PROMPT_TOKENS }, (_, i) => 200 + ((i * 53) % 900));
  const [first, again] = [
    wish({ kind: "tokens", tokens }, { maxTokens: 1 }),
    wish({ kind: "tokens", tokens }, { maxTokens: 1 }),
  ];
  const start = performance.now();
  await drain(engine, first);
  const middle = performance.now();
  await drain(engine, again);
  const end = performance.now();
  const { cachedTokens } = again.counts;
  promise(
    cachedTokens === LONG_PROMPT_TOKENS - 1,
    `the same ${LONG_PROMPT_TOKENS} tokens again: ${cachedTokens} of them cached, first token after ${ms(end - middle)} instead of ${ms(middle - start)}`,
  );
}

interface Wish {
  readonly maxTokens?: number;
  /** It can't end but by its limit. */
  readonly isEndless?: boolean;
  readonly temperature?: number;
  readonly seed?: number;
  readonly signal?: AbortSignal;
}

function wish(prompt: Prompt, options: Wish): GenerateRequest {
  const { maxTokens = TOKENS, isEndless = false, temperature = 0, seed = 1, signal } = options;
  return {
    model: MODEL,
    prompt,
    maxTokens,
    stop: [],
    signal: signal ?? new AbortController().signal,
    counts: { promptTokens: 0, cachedTokens: 0, completionTokens: 0, reasoningTokens: 0 },
    sampling: {
      temperature,
      topP: 1,
      topK: 0,
      minP: 0,
      seed,
      frequencyPenalty: 0,
      presencePenalty: 0,
      logitBias: new Map(isEndless ? banned.map((token) => [token, -100]) : []),
    },
  };
}

function text(content: string): Prompt {
  return { kind: "text", text: content };
}

function chat(content: string): Prompt {
  return { kind: "chat", messages: [{ role: "user", content, name: undefined }] };
}

async function drain(engine: GeneratingEngine, request: GenerateRequest): Promise<string> {
  let text = "";
  for await (const event of engine.generate(request)) if (event.type === "text") text += event.text;
  return text;
}

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await new Promise<void>((resolve) => setTimeout(resolve, 1));
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

function ms(value: number): string {
  return `${value.toFixed(value < 10 ? 1 : 0)} ms`;
}
