import type { Metric, RequestRecord } from "./record.ts";
import type { Answer } from "./request.ts";

export interface RecordPlace {
  readonly n: number;
  readonly user: number | null;
  readonly point: number | null;
  readonly phase: RequestRecord["phase"];
  readonly method: string;
  readonly name: string;
  readonly maxTokens: number | null;
  /** 0 of the record's moments, by `monotonicMs`. */
  readonly zeroAt: number;
}

/** The answer as a line of requests.jsonl. */
export function recordOf(answer: Answer, { zeroAt, ...place }: RecordPlace): RequestRecord {
  const { stream, whole, failure } = answer;
  const moment = (at: number | null) => (at === null ? null : rounded(at - zeroAt));
  const usage = stream?.usage ?? whole?.usage ?? null;
  const chunks = stream?.chunks ?? 0;
  const completion = usage?.completion ?? chunks;
  const hasTokens = usage !== null || chunks > 0;
  return {
    ...place,
    intended: rounded(answer.intendedAt - zeroAt),
    dispatched: rounded(answer.dispatchedAt - zeroAt),
    sent: moment(answer.sentAt),
    headers: moment(answer.headersAt),
    firstEvent: moment(stream?.firstEventAt ?? null),
    firstToken: moment(stream?.firstTokenAt ?? null),
    firstOutput: moment(stream?.firstOutputAt ?? null),
    lastToken: moment(stream?.lastTokenAt ?? null),
    end: rounded(answer.endAt - zeroAt),
    status: answer.status,
    failure: failure?.kind ?? null,
    error: failure?.error ?? null,
    bytes: answer.bytes,
    chunks,
    firstChunkTokens: firstChunkTokens(answer, completion),
    reads: answer.reads,
    events: stream?.events ?? 0,
    tokens: hasTokens
      ? {
          prompt: usage?.prompt ?? 0,
          completion,
          cached: usage?.cached ?? 0,
          reasoning: usage?.reasoning ?? 0,
        }
      : null,
    tokenSource: !hasTokens
      ? null
      : stream?.hasUsageInChunks === true
        ? "continuous"
        : usage === null
          ? "chunks"
          : "usage",
    finish: stream?.finish ?? whole?.finish ?? null,
  };
}

/**
 * What a request took, by its record, in ms; those of single chunks (`icl`, `itl`, `oneWay`) are not in a record.
 * TPOT is undefined, not 0, when all tokens came in the first chunk.
 */
export function latenciesOf(record: RequestRecord): Partial<Record<Metric, number>> {
  const { intended, sent, headers, firstToken, firstOutput, lastToken, end, tokens } = record;
  const finished = lastToken ?? end;
  const later = (tokens?.completion ?? 0) - record.firstChunkTokens;
  return {
    ...(sent === null ? {} : { queue: sent - intended, service: finished - sent }),
    ...(headers === null ? {} : { ttfb: headers - intended }),
    ...(firstToken === null ? {} : { ttft: firstToken - intended }),
    ...(firstOutput === null ? {} : { ttfo: firstOutput - intended }),
    ...(firstToken !== null && lastToken !== null && later > 0
      ? { tpot: (lastToken - firstToken) / later }
      : {}),
    e2e: finished - intended,
  };
}

/**
 * Gaps by the tokens in their chunks; undefined where nobody knows those: neither the server told with each chunk,
 * nor were its chunks as many as its tokens.
 */
export function tokenGaps({
  stream,
}: Answer): { readonly ms: number; readonly tokens: number }[] | undefined {
  if (stream === null) return undefined;
  const { gapsMs, chunkTokens, hasUsageInChunks, usage, chunks } = stream;
  const isOneEach =
    usage !== null && Math.abs(usage.completion - chunks) <= Math.max(1, AGREES * usage.completion);
  if (!hasUsageInChunks && !isOneEach) return undefined;
  return gapsMs.flatMap((gap, at) => {
    const tokens = hasUsageInChunks ? (chunkTokens[at + 1] ?? 0) : 1;
    return tokens === 0 ? [] : [{ ms: gap / tokens, tokens }];
  });
}

/** Chunks are taken for tokens when the server's count is within this share of theirs (or one end token off). */
const AGREES = 0.02;

/** Of `completion` tokens: by the server's count where it told with each chunk, else a chunk's mean. */
export function firstChunkTokens({ stream }: Answer, completion: number): number {
  if (stream === null || stream.chunks === 0) return 1;
  if (stream.hasUsageInChunks) return stream.chunkTokens[0] ?? 1;
  return Math.max(1, Math.round(completion / stream.chunks));
}

function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
