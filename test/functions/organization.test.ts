import { expect, it } from "vitest";
import type { Hold } from "../../shared/ledger.ts";
import { ADMIN_KEY, memoryStore, testApp } from "../harness/app.ts";
import { bill } from "../harness/billing.ts";

const HOUR = 3600;
const DAY = 86_400;
/** A Wednesday, at noon. */
const NOON = Date.UTC(2026, 10, 25, 12) / 1000;
const TODAY = NOON - 12 * HOUR;

/** An app with receipts of two accounts over three days: each of 100 prompt and 50 completion tokens, for $0.0002. */
async function billed() {
  let now = 0;
  const store = memoryStore(() => now * 1000);
  const at = async (seconds: number, hold: Partial<Hold>) => {
    now = seconds;
    return await bill(store, { hold });
  };
  await at(TODAY - 2 * DAY + 5, { account: "acme", keyId: "a1", model: "small" });
  await at(TODAY + HOUR, { account: "acme", keyId: "a1", model: "small" });
  await at(TODAY + HOUR + 1, { account: "acme", keyId: "a2", model: "large" });
  await at(TODAY + 2 * HOUR, { account: "zoo", keyId: "z1", model: "small", route: "completions" });
  await at(TODAY + 2 * HOUR, { account: "zoo", keyId: null, model: "vectors", route: "embeddings" });
  now = NOON;
  const app = testApp({ store, now: () => now * 1000, config: { admin: { key: ADMIN_KEY } } });
  return async (path: string) => {
    const response = await app.fetch(`/v1/organization/${path}`, { headers: { "api-key": ADMIN_KEY } });
    return { status: response.status, ...(await response.json()) };
  };
}

const nothing = { project_id: null, user_id: null, api_key_id: null, model: null };

it("sums usage by day, empty days too, in OpenAI's shape", async () => {
  const ask = await billed();
  const page = await ask(`usage/completions?start_time=${TODAY - 2 * DAY}&end_time=${NOON}`);
  expect(page).toMatchObject({ object: "page", has_more: false, next_page: null });
  const result = (requests: number) => ({
    ...nothing,
    object: "organization.usage.completions.result",
    num_model_requests: requests,
    input_tokens: 100 * requests,
    input_cached_tokens: 0,
    output_tokens: 50 * requests,
  });
  expect(page.data).toMatchObject([
    { start_time: TODAY - 2 * DAY, end_time: TODAY - DAY, results: [result(1)] },
    { start_time: TODAY - DAY, end_time: TODAY, results: [] },
    { start_time: TODAY, end_time: TODAY + DAY, results: [result(3)] },
  ]);
});

it("groups by project, key and model", async () => {
  const ask = await billed();
  const groups = async (query: string) => {
    const { data } = await ask(`usage/completions?start_time=${TODAY}&${query}`);
    const [{ results }] = data;
    return results.map((each: typeof nothing & { num_model_requests: number }) => [
      each.project_id,
      each.api_key_id,
      each.model,
      each.num_model_requests,
    ]);
  };
  expect(await groups("group_by=project_id")).toEqual([
    ["acme", null, null, 2],
    ["zoo", null, null, 1],
  ]);
  expect(await groups("group_by[]=model&group_by[]=api_key_id")).toEqual([
    [null, "a2", "large", 1],
    [null, "a1", "small", 1],
    [null, "z1", "small", 1],
  ]);
});

it("counts what the filters let through, and shows no group that was not asked for", async () => {
  const ask = await billed();
  const sums = async (query: string) => {
    const { data } = await ask(`usage/completions?start_time=${TODAY}&${query}`);
    return data[0].results;
  };
  expect(await sums("project_ids=acme")).toMatchObject([{ ...nothing, num_model_requests: 2 }]);
  expect(await sums("project_ids[]=acme&project_ids[]=zoo&models=small")).toMatchObject([
    { ...nothing, num_model_requests: 2 },
  ]);
  expect(await sums("api_key_ids=a2&group_by=model")).toMatchObject([
    { model: "large", num_model_requests: 1 },
  ]);
  expect(await sums("models=unknown")).toEqual([]);
});

it("pages through hours, each once", async () => {
  const ask = await billed();
  const starts: number[] = [];
  let requests = 0;
  let page = "";
  let pages = 0;
  do {
    const query = `start_time=${TODAY}&end_time=${NOON}&bucket_width=1h&limit=5${page}`;
    const { data, has_more, next_page } = await ask(`usage/completions?${query}`);
    for (const { start_time, results } of data) {
      starts.push(start_time);
      for (const { num_model_requests } of results) requests += num_model_requests;
    }
    page = has_more ? `&page=${next_page}` : "";
    pages++;
  } while (page !== "");
  expect(pages).toBe(3);
  expect(starts).toEqual(Array.from({ length: 12 }, (_, hour) => TODAY + hour * HOUR));
  expect(requests).toBe(3);
});

it("begins at the moment that was asked for, within its bucket", async () => {
  const ask = await billed();
  const { data } = await ask(`usage/completions?start_time=${TODAY + HOUR + 1}&end_time=${TODAY + 2 * HOUR}`);
  expect(data).toMatchObject([{ start_time: TODAY, results: [{ num_model_requests: 1 }] }]);
});

it("tells embeddings apart", async () => {
  const ask = await billed();
  const { data } = await ask(`usage/embeddings?start_time=${TODAY}&group_by=project_id&group_by=api_key_id`);
  expect(data[0].results).toEqual([
    {
      ...nothing,
      object: "organization.usage.embeddings.result",
      input_tokens: 100,
      num_model_requests: 1,
      project_id: "zoo",
    },
  ]);
});

it("says what everything cost, by project and by model as the line", async () => {
  const ask = await billed();
  const { data } = await ask(`costs?start_time=${TODAY}`);
  expect(data[0].results).toEqual([
    {
      object: "organization.costs.result",
      amount: { value: 0.0008, currency: "usd" },
      line_item: null,
      project_id: null,
      api_key_id: null,
    },
  ]);
  const lines = await ask(
    `costs?start_time=${TODAY}&group_by[]=line_item&group_by[]=project_id&project_ids=acme`,
  );
  expect(lines.data[0].results).toMatchObject([
    { line_item: "large", project_id: "acme", amount: { value: 0.0002 } },
    { line_item: "small", project_id: "acme", amount: { value: 0.0002 } },
  ]);
});

it.each([
  ["usage/completions", "start_time"],
  ["usage/completions?start_time=yesterday", "start_time"],
  [`usage/completions?start_time=${NOON}&end_time=${NOON}`, "end_time"],
  ["usage/completions?start_time=0&bucket_width=1w", "bucket_width"],
  ["usage/completions?start_time=0&limit=32", "limit"],
  ["usage/completions?start_time=0&limit=0", "limit"],
  ["usage/completions?start_time=0&group_by=user_id", "group_by[0]"],
  ["usage/completions?start_time=0&page=next", "page"],
  ["costs?start_time=0&bucket_width=1h", "bucket_width"],
  ["costs?start_time=0&limit=181", "limit"],
])("refuses %s and names %s", async (path, param) => {
  const { status, error } = await (await billed())(path);
  expect(status).toBe(400);
  expect(error).toMatchObject({ param, type: "invalid_request_error" });
});
