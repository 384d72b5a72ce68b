import { AuthenticationError, PermissionDeniedError, RateLimitError } from "openai";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ADMIN_KEY, memoryStore } from "../harness/app.ts";
import { type Host, startHost } from "../harness/host.ts";
import { checkedFetch } from "../harness/oracle.ts";
import { clientOf, failureOf } from "./openai-client.ts";
import { ASK, stayOnLoopback } from "./servers.ts";

stayOnLoopback();

const KEYS = {
  rich: "sk-slc-key-with-credit-in-it",
  poor: "sk-slc-key-without-credit",
  other: "sk-slc-key-of-another-model",
};
const store = memoryStore();
let host: Host;
beforeAll(async () => {
  await store.ledger.credit("rich", { id: "test", amountNanoUsd: 1_000_000_000 });
  host = await startHost({
    store,
    config: {
      admin: { key: ADMIN_KEY },
      price: { prompt: 1, completion: 2 },
      keys: [
        { id: "rich", key: KEYS.rich, account: "rich" },
        { id: "poor", key: KEYS.poor, account: "poor" },
        { id: "other", key: KEYS.other, account: "rich", models: ["another"] },
      ],
      accounts: [
        { id: "rich", prepaid: true },
        { id: "poor", prepaid: true },
      ],
    },
  });
});
afterAll(() => host.close());

const ask = (apiKey: string, options: Parameters<typeof clientOf>[1] = {}) =>
  clientOf(host.baseURL, { ...options, apiKey }).chat.completions.create(ASK);

it("OpenAI's client is served and billed by its key, and reads the usage as OpenAI's own", async () => {
  const start_time = Math.floor(Date.now() / 1000) - 60;
  const { usage } = await ask(KEYS.rich);
  const client = clientOf(host.baseURL, { apiKey: KEYS.rich, adminAPIKey: ADMIN_KEY });
  const page = await client.admin.organization.usage.completions({
    start_time,
    bucket_width: "1d",
    group_by: ["project_id", "api_key_id"],
    project_ids: ["rich"],
  });
  const results = page.data.flatMap((bucket) => bucket.results);
  expect(results).toMatchObject([
    {
      project_id: "rich",
      api_key_id: "rich",
      num_model_requests: 1,
      input_tokens: usage?.prompt_tokens,
      output_tokens: usage?.completion_tokens,
    },
  ]);
  const { spentNanoUsd } = await store.ledger.balance("rich");
  const costs = await client.admin.organization.usage.costs({ start_time, group_by: ["line_item"] });
  expect(costs.data.flatMap((bucket) => bucket.results)).toMatchObject([
    { line_item: ASK.model, amount: { value: spentNanoUsd / 1e9, currency: "usd" } },
  ]);
});

it.each([
  ["a wrong key", "sk-slc-nobody-has-this-key-here", AuthenticationError, "invalid_api_key"],
  ["a key of another model", KEYS.other, PermissionDeniedError, "model_not_found"],
  ["an empty balance", KEYS.poor, RateLimitError, "insufficient_quota"],
])("OpenAI's client tells %s by its own error, and asks once", async (_, key, kind, code) => {
  let calls = 0;
  const counted: typeof fetch = (...args) => {
    calls++;
    return checkedFetch(...args);
  };
  const failure = await failureOf(ask(key, { fetch: counted, maxRetries: 2 }));
  expect(failure).toBeInstanceOf(kind);
  expect(failure).toMatchObject({ code });
  expect(calls).toBe(1);
});
