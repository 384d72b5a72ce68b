import { expect, it } from "vitest";
import type { Receipt } from "../../shared/ledger.ts";
import { CSV_HEADER, toCsv, toWireReceipt } from "../../shared/receipt.ts";

const receipt: Receipt = {
  requestId: "0191",
  account: "acme",
  keyId: "key_1",
  route: "chat",
  model: "small",
  backend: null,
  engine: "llama_cpp",
  price: {
    promptPicoUsd: 150_000,
    cachedPromptPicoUsd: 75_000,
    completionPicoUsd: 600_000,
    reasoningPicoUsd: 600_000,
  },
  usage: { promptTokens: 100, cachedTokens: 20, completionTokens: 7, reasoningTokens: 3 },
  source: "engine",
  costNanoUsd: 17_700,
  outcome: "completed",
  ttftMs: 12.5,
  durationMs: 80,
  isFree: false,
  heldAt: Date.UTC(2026, 10, 25, 12),
  settledAt: Date.UTC(2026, 10, 25, 12, 0, 1),
};

it("shows prices as they are written and the cost exactly", () => {
  expect(toWireReceipt(receipt)).toEqual({
    object: "receipt",
    id: "0191",
    account: "acme",
    key_id: "key_1",
    route: "chat",
    model: "small",
    backend: null,
    engine: "llama_cpp",
    prompt_tokens: 100,
    cached_tokens: 20,
    completion_tokens: 7,
    reasoning_tokens: 3,
    price: { prompt: 0.15, cached_prompt: 0.075, completion: 0.6, reasoning: 0.6 },
    cost_usd: "0.0000177",
    cost_nano_usd: 17_700,
    outcome: "completed",
    source: "engine",
    source_reason: "the engine's own count",
    ttft_ms: 12.5,
    duration_ms: 80,
    held_at: "2026-11-25T12:00:00.000Z",
    settled_at: "2026-11-25T12:00:01.000Z",
  });
});

it("says why a count is not the engine's last word, and why nothing was charged", () => {
  const reason = (change: Partial<Receipt>) => toWireReceipt({ ...receipt, ...change }).source_reason;
  expect(reason({ outcome: "lost" })).toMatch(/last checkpoint/);
  expect(reason({ source: "counted", outcome: "client_aborted" })).toMatch(/sent until .*client_aborted/);
  expect(reason({ source: "estimated" })).toMatch(/bytes/);
  expect(reason({ isFree: true })).toMatch(/engine's own count; not charged/);
});

it("writes a line of CSV for each, with a cell for each column", () => {
  const columns = CSV_HEADER.trimEnd().split(",");
  const line = toCsv({ ...receipt, source: "counted" });
  expect(line.endsWith("\r\n")).toBe(true);
  const cells = line.trimEnd().split(",");
  const row = Object.fromEntries(columns.map((column, at) => [column, cells[at]]));
  expect(cells).toHaveLength(columns.length);
  expect(row).toMatchObject({
    id: "0191",
    backend: "",
    price_cached_prompt: "0.075",
    cost_usd: "0.0000177",
    cost_nano_usd: "17700",
    settled_at: "2026-11-25T12:00:01.000Z",
  });
});

it("quotes what would break a line, and lets no spreadsheet run a model's name", () => {
  expect(toCsv({ ...receipt, model: 'a,"b"\nc' })).toContain(',"a,""b""\nc",');
  expect(toCsv({ ...receipt, model: "=1+1" })).toContain(",'=1+1,");
});
