import type { GenerateRequest, GeneratingEngine } from "../shared/engine.ts";
import {
  chat,
  drain,
  type EngineBench,
  BENCH_TOKENS as TOKENS,
  text,
  wish,
} from "./bench-llama-cpp-request.ts";
import { median } from "./median.ts";
import { createRawLoop } from "./raw-loop.ts";

const STREAMS = [1, 8, 16, 64];
const ROUNDS = 3;
const GRAMMAR_STREAMS = 16;
/** Constrained decoding costs a quarter of the tokens a second at the most. */
const GRAMMAR_RATIO = 0.75;

/** Tokens a second of all streams, by the clock and by the processor; medians of rounds taken in turns. */
export async function compareSpeed({ engine, path, banned }: EngineBench): Promise<void> {
  const threads = Number(engine.status().details.threads);
  const raw = await createRawLoop(path, { sequences: 64, contextSize: 2048, threads, banned });
  console.log("\nstreams   engine tok/s   raw loop tok/s   ratio   ratio by CPU time");
  for (const streams of STREAMS) {
    const rounds: (readonly [Speed, Speed])[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const requests = Array.from({ length: streams }, (_, i) =>
        wish(text(`${streams}.${round} stream ${i}: once upon a time`), { banned }),
      );
      const ours = await speed(() => runAll(engine, requests));
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

/** Asks for all at once; returns how many tokens were made. */
async function runAll(engine: GeneratingEngine, requests: readonly GenerateRequest[]): Promise<number> {
  await Promise.all(requests.map((request) => drain(engine, request)));
  return requests.reduce((sum, { counts }) => sum + counts.completionTokens, 0);
}

/** Tokens a second of 16 streams held to a JSON schema, against as many that are free, in turns. */
export async function compareGrammar({ engine, banned, promise }: EngineBench): Promise<void> {
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
  const run = (held: boolean) => {
    const requests = Array.from({ length: GRAMMAR_STREAMS }, (_, i) => {
      const free = wish(chat(`Write list ${i}.`), { maxTokens: 2 * TOKENS, banned });
      return held ? { ...free, format } : free;
    });
    return runAll(engine, requests);
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
