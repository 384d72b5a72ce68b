import { z } from "zod";

/** In the order in which tables show them. */
export const FAILURE_KINDS = [
  "connect",
  "timeout_headers",
  "timeout_idle",
  "http_4xx",
  "http_429",
  "http_5xx",
  "stream_error",
  "truncated",
  "empty_stream",
  "bad_json",
  "aborted",
  "client_limit",
] as const;
export const failureKindSchema = z.enum(FAILURE_KINDS);
export type FailureKind = z.infer<typeof failureKindSchema>;

/**
 * In ms, from the intended start unless said otherwise.
 * - `ttft`: to the first chunk with content, reasoning or a tool call (the role chunk doesn't count). `ttfo`: the
 *   first that isn't reasoning.
 * - `tpot`: (last token − first token) / (tokens − tokens of the first chunk). One figure a request.
 * - `icl`: gaps between token chunks. `itl`: the gap by the tokens in its chunk; only where those are known.
 * - `e2e`: to the last token, or to the last byte where there are no tokens. `service`: the same from `sent`.
 * - `queue`: to `sent`: the client's slip and the wait for a connection. `ttfb`: to the headers.
 * - `oneWay`: stamp of the mock's chunk to its arrival here; only against a mock on this machine.
 */
export const METRICS = [
  "ttft",
  "ttfo",
  "tpot",
  "icl",
  "itl",
  "e2e",
  "service",
  "queue",
  "ttfb",
  "oneWay",
] as const;
export type Metric = (typeof METRICS)[number];

export const tokensSchema = z.object({
  prompt: z.number(),
  completion: z.number(),
  /** Part of `prompt`. */
  cached: z.number(),
  /** Part of `completion`. */
  reasoning: z.number(),
});

/**
 * Where completion tokens come from: `continuous`: the server's usage in every chunk; `usage`: its usage at the end;
 * `chunks`: no usage came, so what is counted are chunks and must be called so.
 */
export const tokenSourceSchema = z.enum(["continuous", "usage", "chunks"]);

/**
 * One line of requests.jsonl. Moments are milliseconds since the run's start by the monotonic clock, to the
 * microsecond; one that never came is null.
 */
export const requestRecordSchema = z.object({
  /** In the order of dispatch, from 0. */
  n: z.number(),
  /** Virtual user or slot; null in the open loop. */
  user: z.number().nullable(),
  /** Index of the sweep's step; null elsewhere. */
  point: z.number().nullable(),
  /** By the intended start: only `measured` ones are in the summaries. */
  phase: z.enum(["warmup", "measured", "cooldown"]),
  method: z.string(),
  name: z.string(),
  intended: z.number(),
  dispatched: z.number(),
  sent: z.number().nullable(),
  headers: z.number().nullable(),
  firstEvent: z.number().nullable(),
  firstToken: z.number().nullable(),
  /** First token that isn't reasoning. */
  firstOutput: z.number().nullable(),
  lastToken: z.number().nullable(),
  end: z.number(),
  status: z.number().nullable(),
  failure: failureKindSchema.nullable(),
  /** What went wrong, in words; never a prompt or a key. */
  error: z.string().nullable(),
  bytes: z.number(),
  /** Chunks that carry a token, and what the first of them held (1 where that isn't known). */
  chunks: z.number(),
  firstChunkTokens: z.number(),
  /** Reads of the socket and SSE events in them: many events a read mean that something on the way coalesced. */
  reads: z.number(),
  events: z.number(),
  /** Null where the answer has none (GET requests, failures before a token). */
  tokens: tokensSchema.nullable(),
  tokenSource: tokenSourceSchema.nullable(),
  maxTokens: z.number().nullable(),
  finish: z.string().nullable(),
});
export type RequestRecord = z.infer<typeof requestRecordSchema>;
