import type { Receipt } from "./ledger.ts";
import { formatUsd } from "./money.ts";

const PICO_PER_DOLLAR_PER_MILLION = 1_000_000;

/** A receipt as the API, exports and webhooks show it. */
export function toWireReceipt(receipt: Receipt) {
  const { usage, price } = receipt;
  return {
    object: "receipt" as const,
    id: receipt.requestId,
    account: receipt.account,
    key_id: receipt.keyId,
    route: receipt.route,
    model: receipt.model,
    backend: receipt.backend,
    engine: receipt.engine,
    prompt_tokens: usage.promptTokens,
    cached_tokens: usage.cachedTokens,
    completion_tokens: usage.completionTokens,
    reasoning_tokens: usage.reasoningTokens,
    /** US dollars per million tokens. */
    price: {
      prompt: price.promptPicoUsd / PICO_PER_DOLLAR_PER_MILLION,
      cached_prompt: price.cachedPromptPicoUsd / PICO_PER_DOLLAR_PER_MILLION,
      completion: price.completionPicoUsd / PICO_PER_DOLLAR_PER_MILLION,
      reasoning: price.reasoningPicoUsd / PICO_PER_DOLLAR_PER_MILLION,
    },
    cost_usd: formatUsd(receipt.costNanoUsd),
    cost_nano_usd: receipt.costNanoUsd,
    outcome: receipt.outcome,
    source: receipt.source,
    source_reason: sourceReason(receipt),
    ttft_ms: receipt.ttftMs,
    duration_ms: receipt.durationMs,
    held_at: new Date(receipt.heldAt).toISOString(),
    settled_at: new Date(receipt.settledAt).toISOString(),
  };
}

/** Why the counts may be trusted, and how far. */
function sourceReason({ source, outcome, isFree }: Receipt): string {
  const counted = reasonOf(source, outcome);
  return isFree ? `${counted}; not charged: the client left a backend that bills nothing then` : counted;
}

function reasonOf(source: Receipt["source"], outcome: Receipt["outcome"]): string {
  switch (source) {
    case "engine":
      return outcome === "lost"
        ? "the engine's own count at the last checkpoint: the request was lost after it"
        : "the engine's own count";
    case "counted":
      return outcome === "completed"
        ? "counted from the tokens that were sent: the engine gave no count"
        : `counted from the tokens that were sent until it ended (${outcome})`;
    case "estimated":
      return `estimated from bytes: the engine gave no count (${outcome})`;
    default:
      return source satisfies never;
  }
}

/** The columns of an export. */
const COLUMNS = [
  "id",
  "account",
  "key_id",
  "route",
  "model",
  "backend",
  "engine",
  "prompt_tokens",
  "cached_tokens",
  "completion_tokens",
  "reasoning_tokens",
  "price_prompt",
  "price_cached_prompt",
  "price_completion",
  "price_reasoning",
  "cost_usd",
  "cost_nano_usd",
  "outcome",
  "source",
  "source_reason",
  "ttft_ms",
  "duration_ms",
  "held_at",
  "settled_at",
] as const;

export const CSV_HEADER = csvLine(COLUMNS);

/** One line, RFC 4180. */
export function toCsv(receipt: Receipt): string {
  const { price, ...wire } = toWireReceipt(receipt);
  const row = {
    ...wire,
    price_prompt: price.prompt,
    price_cached_prompt: price.cached_prompt,
    price_completion: price.completion,
    price_reasoning: price.reasoning,
  };
  return csvLine(COLUMNS.map((column) => row[column]));
}

function csvLine(cells: readonly (string | number | null)[]): string {
  return `${cells.map(csvCell).join(",")}\r\n`;
}

/** A model's name is a client's word: a spreadsheet must not run it as a formula (OWASP, CSV injection). */
function csvCell(value: string | number | null): string {
  if (typeof value !== "string") return value === null ? "" : String(value);
  const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
