import { z } from "zod";
import type { Receipt } from "../ledger.ts";
import type { SqlRow } from "./sql.ts";

/** What was written is read back with its types: a file can be older, or of another hand. */

const count = z.number();
const price = z.object({
  promptPicoUsd: count,
  cachedPromptPicoUsd: count,
  completionPicoUsd: count,
  reasoningPicoUsd: count,
});
const limits = z.object({
  requestsPerMinute: count.optional(),
  tokensPerMinute: count.optional(),
  concurrentRequests: count.optional(),
  monthlyNanoUsd: count.optional(),
  totalNanoUsd: count.optional(),
});
const usage = z.object({
  promptTokens: count,
  cachedTokens: count,
  completionTokens: count,
  reasoningTokens: count,
});
const source = z.enum(["engine", "counted", "estimated"]);
const route = z.enum(["chat", "completions", "embeddings"]);
const json = <T extends z.ZodType>(schema: T) =>
  z
    .string()
    .transform((text): unknown => JSON.parse(text))
    .pipe(schema);

const holdRow = z.object({
  request_id: z.string(),
  account: z.string(),
  key_id: z.string().nullable(),
  route,
  model: z.string(),
  price: json(price),
  amount: count,
  tokens: count,
  scopes: json(z.array(z.object({ name: z.string(), limits }))),
  lease_ms: count,
  held_at: count,
  expires_at: count,
  usage: json(usage).nullable(),
  source: source.nullable(),
});
export type HoldRow = z.output<typeof holdRow>;

const receiptRow = z.object({
  request_id: z.string(),
  account: z.string(),
  key_id: z.string().nullable(),
  route,
  model: z.string(),
  price: json(price),
  amount: count,
  cost: count,
  prompt_tokens: count,
  cached_tokens: count,
  completion_tokens: count,
  reasoning_tokens: count,
  source,
  outcome: z.enum(["completed", "client_aborted", "upstream_error", "timeout", "lost"]),
  backend: z.string().nullable(),
  engine: z.string(),
  ttft_ms: count.nullable(),
  duration_ms: count,
  is_free: count,
  scopes: json(z.array(z.string())),
  held_at: count,
  settled_at: count,
});
export type ReceiptRow = z.output<typeof receiptRow>;

export function readHold(row: SqlRow): HoldRow {
  return holdRow.parse(row);
}

export function readReceiptRow(row: SqlRow): ReceiptRow {
  return receiptRow.parse(row);
}

export function readReceipt(row: SqlRow): Receipt {
  const read = readReceiptRow(row);
  return {
    requestId: read.request_id,
    account: read.account,
    keyId: read.key_id,
    route: read.route,
    model: read.model,
    price: read.price,
    usage: {
      promptTokens: read.prompt_tokens,
      cachedTokens: read.cached_tokens,
      completionTokens: read.completion_tokens,
      reasoningTokens: read.reasoning_tokens,
    },
    source: read.source,
    outcome: read.outcome,
    backend: read.backend,
    engine: read.engine,
    ttftMs: read.ttft_ms,
    durationMs: read.duration_ms,
    isFree: read.is_free === 1,
    costNanoUsd: read.cost,
    heldAt: read.held_at,
    settledAt: read.settled_at,
  };
}
