import { readFileSync } from "node:fs";
import { z } from "zod";
import { readEvents } from "../shared/openai/sse.ts";
import { readUsage } from "../shared/openai/usage.ts";
import { prepareEngines } from "../test/engines/prepare.ts";
import { serveReal } from "../test/engines/serve.ts";
import type { PackagedEngine } from "../test/engines/venvs.ts";
import { median } from "./median.ts";

/** Streams at the same time, and streams a round. */
const LOADS = [
  { concurrency: 1, requests: 8 },
  { concurrency: 8, requests: 32 },
] as const;
const ROUNDS = 7;
const TOKENS = 64;
const PROMPT = "What is Sluice?";

/**
 * What Sluice adds to a real engine: the same greedy streams through `sluice serve` and, in turns, straight to the port
 * of the engine that it runs. Installs the engine where it isn't yet. Resolves with the exit code.
 */
export async function benchOverhead(name: PackagedEngine): Promise<number> {
  const say = (line: string) => console.log(`bench:engine: ${line}`);
  const prepared = await prepareEngines([name], say);
  if (prepared === undefined) return 1;
  say(`starts ${name} with the demo model`);
  const sluice = await serveReal(name, prepared);
  try {
    const ways = {
      direct: await engineOf(sluice.url, name),
      sluice: { url: sluice.url, model: "sluice-demo" },
    };
    for (let i = 0; i < 5; i++) for (const way of Object.values(ways)) await stream(way);
    console.log(`\n${name}, ${TOKENS} tokens at most, medians of ${ROUNDS} rounds taken in turns`);
    console.log("streams   p50 direct   p50 Sluice   added   added to the first token   tokens/s ratio");
    for (const load of LOADS) console.log(await compare(ways, load));
    return 0;
  } finally {
    sluice.child.kill("SIGTERM");
    await sluice.ended;
  }
}

interface Way {
  readonly url: string;
  readonly model: string;
  readonly key?: string;
}

interface Load {
  readonly concurrency: number;
  readonly requests: number;
}

interface Timing {
  readonly firstMs: number;
  readonly wholeMs: number;
  readonly tokens: number;
}

const status = z.object({
  engines: z.tuple([z.object({ details: z.object({ port: z.int(), pid: z.int() }) })]),
});

/** The engine's own port, the model's name there, and the key that only its environment has. */
async function engineOf(url: string, name: PackagedEngine): Promise<Way> {
  const { engines } = status.parse(await (await fetch(`${url}/v1/system/status`)).json());
  const { port, pid } = engines[0].details;
  const way = {
    url: `http://127.0.0.1:${port}`,
    model: name === "mlx" ? "default_model" : "sluice-demo",
  };
  const [, key] =
    /(?:^|\0)(?:VLLM|LLAMA)_API_KEY=([^\0]+)/.exec(readFileSync(`/proc/${pid}/environ`, "utf8")) ?? [];
  return key === undefined ? way : { ...way, key };
}

async function compare(ways: Record<"direct" | "sluice", Way>, load: Load): Promise<string> {
  const rounds: Record<"direct" | "sluice", Round>[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    // Who goes first takes turns: whatever else this machine does then falls on both.
    if (i % 2 === 0)
      rounds.push({ direct: await run(ways.direct, load), sluice: await run(ways.sluice, load) });
    else {
      const sluice = await run(ways.sluice, load);
      rounds.push({ direct: await run(ways.direct, load), sluice });
    }
  }
  const [direct, sluice] = (["direct", "sluice"] as const).map((way) => rounds.map((round) => round[way]));
  const over = (all: readonly Round[] = [], value: (round: Round) => number) => median(all.map(value));
  const p50 = [over(direct, ({ p50 }) => p50), over(sluice, ({ p50 }) => p50)] as const;
  const first = median(rounds.map((round) => round.sluice.firstP50 - round.direct.firstP50));
  const ratio = median(rounds.map((round) => round.sluice.tokensPerSecond / round.direct.tokensPerSecond));
  const columns = [
    String(load.concurrency),
    ms(p50[0]),
    ms(p50[1]),
    ms(median(rounds.map((round) => round.sluice.p50 - round.direct.p50))),
    ms(first),
    ratio.toFixed(3),
  ];
  return columns.map((column, i) => column.padStart([7, 12, 12, 7, 26, 16][i] ?? 0)).join(" ");
}

interface Round {
  readonly p50: number;
  readonly firstP50: number;
  readonly tokensPerSecond: number;
}

async function run(way: Way, { concurrency, requests }: Load): Promise<Round> {
  const timings: Timing[] = [];
  let left = requests;
  const from = performance.now();
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      while (left-- > 0) timings.push(await stream(way));
    }),
  );
  const seconds = (performance.now() - from) / 1000;
  return {
    p50: median(timings.map(({ wholeMs }) => wholeMs)),
    firstP50: median(timings.map(({ firstMs }) => firstMs)),
    tokensPerSecond: timings.reduce((sum, { tokens }) => sum + tokens, 0) / seconds,
  };
}

/** One greedy stream. Rejects where it does not end as a stream must. */
async function stream({ url, model, key }: Way): Promise<Timing> {
  const from = performance.now();
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
    },
    body: JSON.stringify({
      model,
      messages: [{ role: "user", content: PROMPT }],
      stream: true,
      stream_options: { include_usage: true },
      temperature: 0,
      max_tokens: TOKENS,
    }),
  });
  if (!response.ok || response.body === null)
    throw new Error(`${url}: ${response.status} ${await response.text()}`);
  let firstMs: number | undefined;
  let tokens = 0;
  for await (const event of readEvents(response.body)) {
    if (event === "[DONE]") {
      const wholeMs = performance.now() - from;
      return { firstMs: firstMs ?? wholeMs, wholeMs, tokens };
    }
    const chunk: unknown = JSON.parse(event);
    if (hasText(chunk)) firstMs ??= performance.now() - from;
    tokens = readUsage(chunk)?.completionTokens ?? tokens;
  }
  throw new Error(`${url}: the stream broke off`);
}

const textChunk = z.object({
  choices: z.tuple([z.object({ delta: z.object({ content: z.string().min(1) }) })]),
});

function hasText(chunk: unknown): boolean {
  return textChunk.safeParse(chunk).success;
}

function ms(value: number): string {
  return `${value.toFixed(1)} ms`;
}
