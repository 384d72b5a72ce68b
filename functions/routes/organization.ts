import type { Context, Handler } from "hono";
import { z } from "zod";
import type { Books, TotalsQuery, UsageTotal } from "../../shared/books.ts";
import type { BilledRoute } from "../../shared/ledger.ts";
import { invalidRequest } from "../../shared/openai/errors.ts";
import { addUsage } from "../../shared/openai/usage.ts";
import type { Deps } from "../deps.ts";
import type { RequestContext } from "../middleware/request-context.ts";
import { listOf, readQuery, unixSeconds } from "../query.ts";

export interface OrganizationRoutes {
  readonly completions: Handler<RequestContext>;
  readonly embeddings: Handler<RequestContext>;
  readonly costs: Handler<RequestContext>;
}

/** Length in seconds, and buckets a page by default and at most: OpenAI's own. */
const WIDTHS = {
  "1m": { seconds: 60, buckets: 60, most: 1440 },
  "1h": { seconds: 3600, buckets: 24, most: 168 },
  "1d": { seconds: 86_400, buckets: 7, most: 31 },
} as const;
const MOST_COST_BUCKETS = 180;

type Dimension = TotalsQuery["groupBy"][number];
/** An account is OpenAI's project; a line of costs is a model. */
const DIMENSIONS: Readonly<Record<"project_id" | "api_key_id" | "model" | "line_item", Dimension>> = {
  project_id: "account",
  api_key_id: "key",
  model: "model",
  line_item: "model",
};

const frame = {
  start_time: unixSeconds,
  end_time: unixSeconds.optional(),
  limit: z.coerce.number().int().min(1).optional(),
  page: z.string().optional(),
  project_ids: listOf(z.string()).optional(),
  api_key_ids: listOf(z.string()).optional(),
};
const usageQuery = z.object({
  ...frame,
  bucket_width: z.enum(["1m", "1h", "1d"]).default("1d"),
  models: listOf(z.string()).optional(),
  group_by: listOf(z.enum(["project_id", "api_key_id", "model"])).default([]),
});
const costsQuery = z.object({
  ...frame,
  bucket_width: z.literal("1d").default("1d"),
  group_by: listOf(z.enum(["project_id", "api_key_id", "line_item"])).default([]),
});

/** Sums of all receipts in the shapes of OpenAI's usage and costs API: tools that read those read these. */
export function organizationRoutes({
  store: { books },
  clock,
}: Pick<Deps, "store" | "clock">): OrganizationRoutes {
  const usageOf =
    (routes: readonly BilledRoute[], toResult: (total: UsageTotal) => object): Handler<RequestContext> =>
    async (c) => {
      const query = readQuery(c, usageQuery);
      const page = pageOf(query, clock.now(), WIDTHS[query.bucket_width].most);
      return c.json(await bucketsOf(books, page, { ...query, routes }, toResult));
    };
  return {
    completions: usageOf(["chat", "completions"], completionsResult),
    embeddings: usageOf(["embeddings"], embeddingsResult),
    costs: async (c: Context) => {
      const query = readQuery(c, costsQuery);
      const page = pageOf(query, clock.now(), MOST_COST_BUCKETS);
      return c.json(await bucketsOf(books, page, query, costsResult));
    },
  };
}

/** Unix seconds; `first` is where the page's first bucket starts. */
interface Page {
  readonly first: number;
  readonly start: number;
  readonly end: number;
  readonly seconds: number;
  readonly buckets: number;
}

function pageOf(
  query: z.output<typeof usageQuery> | z.output<typeof costsQuery>,
  now: number,
  most: number,
): Page {
  const { seconds, buckets } = WIDTHS[query.bucket_width];
  const { start_time, end_time = Math.floor(now / 1000) + 1, limit = buckets, page } = query;
  if (limit > most) throw invalidRequest(`Invalid 'limit': at most ${most} buckets of this width.`, "limit");
  if (end_time <= start_time)
    throw invalidRequest("Invalid 'end_time': it must be after 'start_time'.", "end_time");
  const start = page === undefined ? start_time : startOfPage(page);
  return { first: start - (start % seconds), start, end: end_time, seconds, buckets: limit };
}

interface Asked {
  readonly routes?: readonly BilledRoute[];
  readonly project_ids?: readonly string[] | undefined;
  readonly api_key_ids?: readonly string[] | undefined;
  readonly models?: readonly string[] | undefined;
  readonly group_by: readonly (keyof typeof DIMENSIONS)[];
}

async function bucketsOf(
  books: Books,
  { first, start, end, seconds, buckets }: Page,
  asked: Asked,
  toResult: (total: UsageTotal) => object,
) {
  const last = Math.min(end, first + buckets * seconds);
  const wanted: readonly (readonly [Dimension, readonly string[] | undefined])[] = [
    ["account", asked.project_ids],
    ["key", asked.api_key_ids],
    ["model", asked.models],
  ];
  const shown = asked.group_by.map((each) => DIMENSIONS[each]);
  const filtered = wanted.flatMap(([dimension, values]) => (values === undefined ? [] : dimension));
  const totals = await books.totals({
    from: start * 1000,
    to: last * 1000,
    bucketMs: seconds * 1000,
    routes: asked.routes,
    groupBy: [...new Set([...shown, ...filtered])],
  });
  const matching = totals.filter((total) =>
    wanted.every(([dimension, values]) => values?.includes(groupOf(total, dimension) ?? "") ?? true),
  );
  const byStart = Map.groupBy(matching, (total) => total.start);
  const data = [];
  for (let at = first; at < last; at += seconds) {
    const results = summed(byStart.get(at * 1000) ?? [], shown).map(toResult);
    data.push({ object: "bucket", start_time: at, end_time: at + seconds, results });
  }
  const hasMore = last < end;
  return { object: "page", data, has_more: hasMore, next_page: hasMore ? pageAt(last) : null };
}

/** One total for each group that is shown. */
function summed(totals: readonly UsageTotal[], shown: readonly Dimension[]): readonly UsageTotal[] {
  const groups = new Map<string, UsageTotal>();
  for (const total of totals) {
    const values = shown.map((dimension) => groupOf(total, dimension) ?? null);
    const group = JSON.stringify(values);
    const sum = groups.get(group);
    groups.set(group, {
      start: total.start,
      account: shown.includes("account") ? total.account : undefined,
      keyId: shown.includes("key") ? total.keyId : undefined,
      model: shown.includes("model") ? total.model : undefined,
      requests: total.requests + (sum?.requests ?? 0),
      usage: sum === undefined ? total.usage : addUsage(sum.usage, total.usage),
      costNanoUsd: total.costNanoUsd + (sum?.costNanoUsd ?? 0),
    });
  }
  return [...groups.values()];
}

function groupOf(total: UsageTotal, dimension: Dimension): string | null | undefined {
  switch (dimension) {
    case "account":
      return total.account;
    case "key":
      return total.keyId;
    case "model":
      return total.model;
    default:
      return dimension satisfies never;
  }
}

function completionsResult({ account, keyId, model, requests, usage }: UsageTotal) {
  return {
    object: "organization.usage.completions.result",
    input_tokens: usage.promptTokens,
    input_cached_tokens: usage.cachedTokens,
    input_audio_tokens: 0,
    output_tokens: usage.completionTokens,
    output_audio_tokens: 0,
    num_model_requests: requests,
    project_id: account ?? null,
    user_id: null,
    api_key_id: keyId ?? null,
    model: model ?? null,
    batch: null,
    service_tier: null,
  };
}

function embeddingsResult({ account, keyId, model, requests, usage }: UsageTotal) {
  return {
    object: "organization.usage.embeddings.result",
    input_tokens: usage.promptTokens,
    num_model_requests: requests,
    project_id: account ?? null,
    user_id: null,
    api_key_id: keyId ?? null,
    model: model ?? null,
  };
}

function costsResult({ account, keyId, model, costNanoUsd }: UsageTotal) {
  return {
    object: "organization.costs.result",
    amount: { value: costNanoUsd / 1_000_000_000, currency: "usd" },
    line_item: model ?? null,
    project_id: account ?? null,
    api_key_id: keyId ?? null,
  };
}

function pageAt(seconds: number): string {
  return `page_${seconds}`;
}

function startOfPage(page: string): number {
  const seconds = /^page_(\d{1,11})$/.exec(page)?.[1];
  if (seconds === undefined)
    throw invalidRequest("Invalid 'page': send the last answer's `next_page`.", "page");
  return Number(seconds);
}
