import { correctForOmission, createHistogram, type Histogram } from "./histogram.ts";
import { latenciesOf, tokenGaps } from "./latencies.ts";
import { FAILURE_KINDS, type FailureKind, METRICS, type Metric, type RequestRecord } from "./record.ts";
import type { Answer } from "./request.ts";
import type { Summary } from "./result.ts";

/** All that is kept of the requests of one endpoint: bounded, however many there were. */
export interface Tally {
  readonly method: string;
  readonly name: string;
  readonly requests: number;
  readonly failures: number;
  add(record: RequestRecord, answer: Answer): void;
  /** Counts one that ended within the window, whenever it was due. */
  end(record: RequestRecord): void;
  /** Tokens by the server's count to those that were counted as they arrived: above 1 where chunks hold several. */
  readonly tokenRatio: number;
  /** Adds what another tally has. */
  merge(other: Tally): void;
  summary(rates: SummaryRates): Summary;
  /** For `merge`. */
  readonly state: TallyState;
}

/** What depends on the window's length and on moments, not on requests. */
export interface SummaryRates {
  readonly seconds: number;
  /** Mean think time: the closed loop's `correctedE2e`; null in the open loop. */
  readonly thinkMs: number | null;
  readonly completionTokensPerSecond: number;
}

const SOURCES = ["chunks", "usage", "continuous"] as const;

interface TallyState {
  requests: number;
  failures: number;
  readonly ended: { requests: number; failures: number };
  bytes: number;
  goodTokensPerSecond: number;
  tokenAnswers: number;
  countedTokens: number;
  /** Index in `SOURCES` of the weakest seen. */
  source: number | null;
  readonly byKind: Map<FailureKind, number>;
  readonly finishes: Map<string, number>;
  readonly tokens: { prompt: number; completion: number; cached: number; reasoning: number };
  readonly metrics: Map<Metric, Histogram>;
  readonly outputTokens: Histogram;
}

export function createTally(method: string, name: string): Tally {
  const state: TallyState = {
    requests: 0,
    failures: 0,
    ended: { requests: 0, failures: 0 },
    bytes: 0,
    goodTokensPerSecond: 0,
    tokenAnswers: 0,
    countedTokens: 0,
    source: null,
    byKind: new Map(),
    finishes: new Map(),
    tokens: { prompt: 0, completion: 0, cached: 0, reasoning: 0 },
    metrics: new Map(),
    outputTokens: createHistogram(),
  };
  const metric = (key: Metric) => getOrAdd(state.metrics, key, createHistogram);

  function addTokens({ tokens, tokenSource, finish, intended, lastToken, end }: RequestRecord): void {
    if (finish !== null) state.finishes.set(finish, (state.finishes.get(finish) ?? 0) + 1);
    if (tokens === null || tokenSource === null) return;
    for (const kind of TOKEN_KINDS) state.tokens[kind] += tokens[kind];
    state.source = Math.min(SOURCES.indexOf(tokenSource), state.source ?? SOURCES.length);
    state.outputTokens.record(tokens.completion);
    state.tokenAnswers++;
    const seconds = ((lastToken ?? end) - intended) / 1000;
    if (seconds > 0) state.goodTokensPerSecond += tokens.completion / seconds;
  }

  return {
    method,
    name,
    state,
    get requests() {
      return state.requests;
    },
    get failures() {
      return state.failures;
    },
    get tokenRatio() {
      return state.countedTokens === 0 ? 1 : state.tokens.completion / state.countedTokens;
    },
    add(record, answer) {
      state.requests++;
      state.bytes += record.bytes;
      const latencies = latenciesOf(record);
      if (latencies.queue !== undefined) metric("queue").record(latencies.queue);
      if (record.failure !== null) {
        state.failures++;
        state.byKind.set(record.failure, (state.byKind.get(record.failure) ?? 0) + 1);
        return;
      }
      for (const key of METRICS) {
        const value = key === "queue" ? undefined : latencies[key];
        if (value !== undefined) metric(key).record(value);
      }
      for (const gap of answer.stream?.gapsMs ?? []) metric("icl").record(gap);
      for (const { ms, tokens } of tokenGaps(answer) ?? []) metric("itl").record(ms, tokens);
      for (const delay of answer.stream?.oneWayMs ?? []) metric("oneWay").record(delay);
      addTokens(record);
      if (record.tokens !== null) state.countedTokens += countedTokens(record, answer);
    },
    end({ failure }) {
      state.ended.requests++;
      if (failure !== null) state.ended.failures++;
    },
    merge({ state: other }) {
      state.requests += other.requests;
      state.failures += other.failures;
      state.ended.requests += other.ended.requests;
      state.ended.failures += other.ended.failures;
      state.bytes += other.bytes;
      state.goodTokensPerSecond += other.goodTokensPerSecond;
      state.tokenAnswers += other.tokenAnswers;
      state.countedTokens += other.countedTokens;
      if (other.source !== null) state.source = Math.min(other.source, state.source ?? SOURCES.length);
      for (const [kind, count] of other.byKind) state.byKind.set(kind, (state.byKind.get(kind) ?? 0) + count);
      for (const [finish, count] of other.finishes)
        state.finishes.set(finish, (state.finishes.get(finish) ?? 0) + count);
      for (const kind of TOKEN_KINDS) state.tokens[kind] += other.tokens[kind];
      for (const [key, histogram] of other.metrics) metric(key).add(histogram);
      state.outputTokens.add(other.outputTokens);
    },
    summary: (rates) => summaryOf(method, name, state, rates),
  };
}

const TOKEN_KINDS = ["prompt", "completion", "cached", "reasoning"] as const;

function summaryOf(method: string, name: string, state: TallyState, rates: SummaryRates): Summary {
  const { seconds, thinkMs, completionTokensPerSecond } = rates;
  const perSecond = (count: number) => (seconds > 0 ? count / seconds : 0);
  const e2e = state.metrics.get("e2e");
  const service = state.metrics.get("service");
  const corrected =
    thinkMs === null || e2e === undefined || service === undefined
      ? undefined
      : correctForOmission(e2e, thinkMs + service.percentile(50));
  return {
    method,
    name,
    requests: state.requests,
    failures: state.failures,
    failuresByKind: Object.fromEntries(
      FAILURE_KINDS.flatMap((kind) => {
        const count = state.byKind.get(kind);
        return count === undefined ? [] : [[kind, count]];
      }),
    ),
    requestsPerSecond: perSecond(state.ended.requests),
    failuresPerSecond: perSecond(state.ended.failures),
    bytes: state.bytes,
    meanBytes: state.requests === 0 ? 0 : state.bytes / state.requests,
    metrics: Object.fromEntries(
      METRICS.flatMap((key) => {
        const distribution = state.metrics.get(key)?.distribution();
        return distribution === undefined ? [] : [[key, distribution]];
      }),
    ),
    correctedE2e: corrected?.distribution() ?? null,
    tokens: { ...state.tokens },
    tokenSource: state.source === null ? null : (SOURCES[state.source] ?? null),
    tokensPerSecond: { prompt: perSecond(state.tokens.prompt), completion: completionTokensPerSecond },
    e2eTokensPerSecond: state.tokenAnswers === 0 ? null : state.goodTokensPerSecond / state.tokenAnswers,
    outputTokens: state.outputTokens.distribution() ?? null,
    finishReasons: Object.fromEntries(state.finishes),
  };
}

/** What was counted while the answer arrived, as `SendOptions.onTokens` tells it. */
function countedTokens({ tokens }: RequestRecord, { stream }: Answer): number {
  if (stream === null) return tokens?.completion ?? 0;
  return stream.chunkTokens.reduce((sum, count) => sum + count, 0);
}

function getOrAdd<K, V>(map: Map<K, V>, key: K, create: () => V): V {
  const found = map.get(key);
  if (found !== undefined) return found;
  const created = create();
  map.set(key, created);
  return created;
}
