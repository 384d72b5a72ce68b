import { latenciesOf } from "./latencies.ts";
import type { FailureKind, Metric, RequestRecord } from "./record.ts";
import type { Answer } from "./request.ts";
import type { Result } from "./result.ts";
import { createTally, type Tally } from "./tally.ts";

/** Turns requests into the figures of a result, in memory that doesn't grow with them. */
export interface Recorder {
  add(record: RequestRecord, answer: Answer): void;
  /** One that ended within the window, whenever it was due: rates are of these, what the server did in it. */
  end(record: RequestRecord, answer: Answer): void;
  /** Tokens that arrived within the window (1 a chunk where the server doesn't tell). */
  countTokens(endpoint: Pick<Tally, "method" | "name">, tokens: number): void;
  figures(window: RecordedWindow): Figures;
  /** As of `Tally`, of all endpoints so far. */
  tokenRatio(): number;
}

export interface RecordedWindow {
  /** ms since the start. */
  readonly startMs: number;
  readonly endMs: number;
  /** Of users; null in the open loop. */
  readonly thinkMs: number | null;
}

export type Figures = Pick<Result, "aggregated" | "endpoints" | "failures" | "goodput">;

/** More than this many different messages of failures are counted under their kind alone. */
const MAX_MESSAGES = 500;

/** `limitsMs`: what a request must keep to be good. */
export function createRecorder(limitsMs: Partial<Record<Metric, number>>): Recorder {
  const tallies = new Map<string, Tally>();
  const arrived = new Map<string, number>();
  const failures = new Map<string, Figures["failures"][number]>();
  let good = 0;
  let goodEnded = 0;

  function tallyOf({ method, name }: RequestRecord): Tally {
    const key = keyOf({ method, name });
    const tally = tallies.get(key) ?? createTally(method, name);
    tallies.set(key, tally);
    return tally;
  }

  function countFailure({ method, name }: RequestRecord, kind: FailureKind, error: string): void {
    const known = failures.get(`${method} ${name} ${kind} ${error}`);
    const message = known === undefined && failures.size >= MAX_MESSAGES ? "(more)" : error;
    const key = `${method} ${name} ${kind} ${message}`;
    const occurrences = (failures.get(key)?.occurrences ?? 0) + 1;
    failures.set(key, { method, name, kind, error: message, occurrences });
  }

  return {
    add(record, answer) {
      tallyOf(record).add(record, answer);
      if (record.failure !== null) countFailure(record, record.failure, record.error ?? "");
      else if (isGood(record, answer, limitsMs)) good++;
    },
    end(record, answer) {
      tallyOf(record).end(record);
      if (record.failure === null && isGood(record, answer, limitsMs)) goodEnded++;
    },
    countTokens(endpoint, tokens) {
      const key = keyOf(endpoint);
      arrived.set(key, (arrived.get(key) ?? 0) + tokens);
    },
    tokenRatio() {
      const all = [...tallies.values()];
      const counted = all.reduce((sum, { state }) => sum + state.countedTokens, 0);
      const told = all.reduce((sum, { state }) => sum + state.tokens.completion, 0);
      return counted === 0 ? 1 : told / counted;
    },
    figures({ startMs, endMs, thinkMs }) {
      const seconds = (endMs - startMs) / 1000;
      const perSecond = (count: number) => (seconds > 0 ? count / seconds : 0);
      const aggregated = createTally("", "Aggregated");
      const endpoints = [...tallies.values()].map((tally) => {
        aggregated.merge(tally);
        return tally.summary({
          seconds,
          thinkMs,
          completionTokensPerSecond: perSecond(arrived.get(keyOf(tally)) ?? 0) * tally.tokenRatio,
        });
      });
      const tokens = endpoints.reduce((sum, { tokensPerSecond }) => sum + tokensPerSecond.completion, 0);
      return {
        aggregated: aggregated.summary({ seconds, thinkMs, completionTokensPerSecond: tokens }),
        endpoints,
        failures: [...failures.values()].sort((a, b) => b.occurrences - a.occurrences),
        goodput: {
          limitsMs,
          requestsPerSecond: perSecond(goodEnded),
          share: aggregated.requests === 0 ? 0 : good / aggregated.requests,
        },
      };
    },
  };
}

function keyOf({ method, name }: Pick<Tally, "method" | "name">): string {
  return `${method} ${name}`;
}

/** A success that keeps every limit; of chunks, their mean gap. What a request doesn't have keeps its limit. */
function isGood(
  record: RequestRecord,
  { stream }: Answer,
  limitsMs: Partial<Record<Metric, number>>,
): boolean {
  const latencies = latenciesOf(record);
  const gaps = stream?.gapsMs ?? [];
  const gap = gaps.length === 0 ? undefined : gaps.reduce((sum, ms) => sum + ms, 0) / gaps.length;
  const values: Partial<Record<Metric, number | undefined>> = { ...latencies, icl: gap, itl: latencies.tpot };
  return Object.entries(limitsMs).every(([metric, limit]) => {
    const value = new Map(Object.entries(values)).get(metric);
    return value === undefined || value <= limit;
  });
}
