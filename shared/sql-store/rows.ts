import { z } from "zod";
import type { Price, Receipt } from "../ledger.ts";
import type { SqlRow } from "./sql.ts";

/** What was written is read back with its types: a file can be older, or of another hand. */

const count = z.number();
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

const flag = z.number().transform((value) => value === 1);
const names = json(z.array(z.string()));

const price = {
  prompt_pico: count,
  cached_pico: count,
  completion_pico: count,
  reasoning_pico: count,
};

/** What a hold and its receipt both have. */
const asked = {
  ...price,
  account: z.string(),
  request_id: z.string(),
  key_id: z.string().nullable(),
  route,
  model: z.string(),
  held_at: count,
};

const holdRow = z.object({
  ...asked,
  amount: count,
  tokens: count,
  is_prepaid: count,
  scopes: names,
  token_scopes: names,
  usage: json(usage).nullable(),
});
export type HoldRow = z.output<typeof holdRow>;

const receiptRow = z.object({
  ...asked,
  settled_at: count,
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
  is_free: flag,
});

export function readHold(row: SqlRow): HoldRow {
  return holdRow.parse(row);
}

export function readPrice(row: z.output<z.ZodObject<typeof price>>): Price {
  return {
    promptPicoUsd: row.prompt_pico,
    cachedPromptPicoUsd: row.cached_pico,
    completionPicoUsd: row.completion_pico,
    reasoningPicoUsd: row.reasoning_pico,
  };
}

export function readReceipt(row: SqlRow): Receipt {
  const read = receiptRow.parse(row);
  const {
    prompt_tokens: promptTokens,
    cached_tokens: cachedTokens,
    completion_tokens: completionTokens,
    reasoning_tokens: reasoningTokens,
  } = read;
  return {
    account: read.account,
    requestId: read.request_id,
    keyId: read.key_id,
    route: read.route,
    model: read.model,
    price: readPrice(read),
    usage: { promptTokens, cachedTokens, completionTokens, reasoningTokens },
    source: read.source,
    outcome: read.outcome,
    backend: read.backend,
    engine: read.engine,
    ttftMs: read.ttft_ms,
    durationMs: read.duration_ms,
    isFree: read.is_free,
    costNanoUsd: read.cost,
    heldAt: read.held_at,
    settledAt: read.settled_at,
  };
}
