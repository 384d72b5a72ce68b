import { monotonicMs } from "./clock.ts";
import { firstChunkTokens } from "./latencies.ts";
import { median } from "./median.ts";
import type { Answer, Call, Client } from "./request.ts";

/** The specification's benchmarks: prompts, lengths and levels are its own. */
export const SPEED_CASES = [
  { name: "short", prompt: "你好", maxTokens: 10 },
  { name: "medium", prompt: "请介绍机器学习", maxTokens: 100 },
  { name: "long", prompt: "详细分析AI发展趋势", maxTokens: 300 },
] as const;

export const CONCURRENCY_LEVELS = [1, 5, 10, 20, 50] as const;
const CONCURRENCY_MAX_TOKENS = 50;

export const MODEL_PROFILES = [
  {
    size: "7B",
    billions: 7,
    prompts: ["你好", "请简单介绍一下AI", "1+1等于几？"],
    maxTokens: 50,
    expectedTokensPerSecond: 20,
  },
  {
    size: "13B",
    billions: 13,
    prompts: ["请详细解释机器学习的概念", "写一个Python快速排序算法", "分析当前AI技术的发展趋势"],
    maxTokens: 200,
    expectedTokensPerSecond: 10,
  },
  {
    size: "70B",
    billions: 70,
    prompts: [
      "请写一篇关于人工智能未来发展的详细文章",
      "设计一个完整的Web应用架构",
      "分析全球气候变化的影响和应对措施",
    ],
    maxTokens: 500,
    expectedTokensPerSecond: 5,
  },
] as const;

export interface Spread {
  readonly mean: number;
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

interface Replies {
  readonly requests: number;
  readonly failures: number;
  /** Null where every request failed, or came without a count of tokens. */
  readonly tokensPerSecond: Spread | null;
}

export interface SpeedResult extends Replies {
  readonly maxTokens: number;
  readonly completionTokens: Spread | null;
  /** After the first token: what a reader sees. `tokensPerSecond` is over the whole answer. */
  readonly decodeTokensPerSecond: Spread | null;
  readonly ttftMs: Spread | null;
}

export interface ConcurrencyResult {
  readonly concurrency: number;
  readonly requests: number;
  readonly failures: number;
  /** Of 100. */
  readonly successPercent: number;
  readonly meanResponseMs: number | null;
  /** Successful ones a second, over the time until the last has ended. */
  readonly requestsPerSecond: number;
  readonly tokensPerSecond: number;
  readonly totalMs: number;
}

export interface ModelResult extends Replies {
  readonly maxTokens: number;
  readonly expectedTokensPerSecond: number;
  readonly isMet: boolean;
  /** The model served is of this size, by its name: the expectation is about it. */
  readonly isThisModel: boolean;
}

/** Asks the server for one answer, and never rejects. */
export type Ask = (prompt: string, maxTokens: number) => Promise<Answer>;

export interface AskOptions {
  readonly client: Client;
  readonly path: string;
  readonly model: string;
  /** First in every prompt, with a number: else a second run measures the first one's prefix cache. */
  readonly nonce: string;
  readonly onAnswer: (answer: Answer) => void;
}

export function createAsk({ client, path, model, nonce, onAnswer }: AskOptions): Ask {
  let asked = 0;
  return async (prompt, maxTokens) => {
    const body = JSON.stringify({
      model,
      messages: [{ role: "user", content: `[${nonce}-${asked++}] ${prompt}` }],
      max_tokens: maxTokens,
      stream: true,
      stream_options: { include_usage: true },
    });
    const call: Call = { method: "POST", path, name: path, body, expects: "stream", maxTokens };
    const answer = await client.send(call, monotonicMs());
    onAnswer(answer);
    return answer;
  };
}

/** Tokens a second of one answer at a time, `runs` of each length. */
export async function benchSpeed(ask: Ask, runs: number): Promise<Record<string, SpeedResult>> {
  const results: Record<string, SpeedResult> = {};
  for (const { name, prompt, maxTokens } of SPEED_CASES) {
    const answers = await inTurn(ask, Array(runs).fill(prompt), maxTokens);
    const good = answers.filter(({ failure }) => failure === null);
    results[name] = {
      maxTokens,
      ...repliesOf(answers),
      completionTokens: spread(good.map(tokensOf)),
      decodeTokensPerSecond: spread(good.map(decodeSpeedOf)),
      ttftMs: spread(good.map(({ intendedAt, stream }) => since(intendedAt, stream?.firstTokenAt))),
    };
  }
  return results;
}

/** So many requests at once, and their end awaited, level by level. */
export async function benchConcurrency(ask: Ask): Promise<readonly ConcurrencyResult[]> {
  const results: ConcurrencyResult[] = [];
  for (const concurrency of CONCURRENCY_LEVELS) {
    const startedAt = monotonicMs();
    const answers = await Promise.all(
      Array.from({ length: concurrency }, (_, n) => ask(`请求 ${n}`, CONCURRENCY_MAX_TOKENS)),
    );
    const totalMs = monotonicMs() - startedAt;
    const good = answers.filter(({ failure }) => failure === null);
    results.push({
      concurrency,
      requests: concurrency,
      failures: concurrency - good.length,
      successPercent: (100 * good.length) / concurrency,
      meanResponseMs: spread(good.map(({ intendedAt, endAt }) => endAt - intendedAt))?.mean ?? null,
      requestsPerSecond: (1000 * good.length) / totalMs,
      tokensPerSecond: (1000 * good.reduce((sum, answer) => sum + (tokensOf(answer) ?? 0), 0)) / totalMs,
      totalMs,
    });
  }
  return results;
}

/** Each size's prompts, against what the specification expects of a model of that size. */
export async function benchModels(ask: Ask, model: string): Promise<Record<string, ModelResult>> {
  const results: Record<string, ModelResult> = {};
  const own = sizeOf(model);
  for (const { size, prompts, maxTokens, expectedTokensPerSecond } of MODEL_PROFILES) {
    const replies = repliesOf(await inTurn(ask, prompts, maxTokens));
    results[size] = {
      maxTokens,
      ...replies,
      expectedTokensPerSecond,
      isMet: (replies.tokensPerSecond?.mean ?? 0) >= expectedTokensPerSecond,
      isThisModel: own === size,
    };
  }
  return results;
}

/** The profile for a model whose name tells its size, such as `Qwen3-8B`: the smallest that is not below it. */
export function sizeOf(model: string): string | undefined {
  const billions = /(?:^|[^a-z\d.])(\d+(?:\.\d+)?)b(?:[^a-z\d]|$)/i.exec(model)?.[1];
  if (billions === undefined) return undefined;
  // Sizes are round numbers: an 8B is of the 7B kind, and a 14B of the 13B kind.
  const fits = MODEL_PROFILES.find((profile) => Number(billions) <= profile.billions * 1.25);
  return (fits ?? MODEL_PROFILES.at(-1))?.size;
}

export const BENCH_NAMES = ["speed", "concurrency", "models"] as const;
export type BenchName = (typeof BENCH_NAMES)[number];

/** How many answers the benches ask for. */
export function answersOf(benches: readonly BenchName[], runs: number): number {
  const counts: Readonly<Record<BenchName, number>> = {
    speed: SPEED_CASES.length * runs,
    concurrency: CONCURRENCY_LEVELS.reduce((sum, level) => sum + level, 0),
    models: MODEL_PROFILES.reduce((sum, { prompts }) => sum + prompts.length, 0),
  };
  return benches.reduce((sum, name) => sum + counts[name], 0);
}

async function inTurn(ask: Ask, prompts: readonly string[], maxTokens: number): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (const prompt of prompts) answers.push(await ask(prompt, maxTokens));
  return answers;
}

function repliesOf(answers: readonly Answer[]): Replies {
  const good = answers.filter(({ failure }) => failure === null);
  return {
    requests: answers.length,
    failures: answers.length - good.length,
    tokensPerSecond: spread(good.map(speedOf)),
  };
}

/** As the server counts; chunks where it doesn't tell. */
function tokensOf({ stream }: Answer): number | undefined {
  return stream?.usage?.completion ?? stream?.chunks;
}

/** The specification's speed: all tokens by the time of the whole answer. */
function speedOf(answer: Answer): number | undefined {
  const tokens = tokensOf(answer);
  return tokens === undefined ? undefined : (1000 * tokens) / (answer.endAt - answer.intendedAt);
}

/** Undefined for an answer of one chunk: there is no time between its tokens. */
function decodeSpeedOf(answer: Answer): number | undefined {
  const { firstTokenAt = null, lastTokenAt = null } = answer.stream ?? {};
  const tokens = tokensOf(answer) ?? 0;
  const after = tokens - firstChunkTokens(answer, tokens);
  if (firstTokenAt === null || lastTokenAt === null || after <= 0 || lastTokenAt <= firstTokenAt)
    return undefined;
  return (1000 * after) / (lastTokenAt - firstTokenAt);
}

function since(from: number, to: number | null | undefined): number | undefined {
  return to === null || to === undefined ? undefined : to - from;
}

function spread(values: readonly (number | undefined)[]): Spread | null {
  const known = values.filter((value) => value !== undefined);
  if (known.length === 0) return null;
  const mean = known.reduce((sum, value) => sum + value, 0) / known.length;
  return { mean, median: median(known), min: Math.min(...known), max: Math.max(...known) };
}
