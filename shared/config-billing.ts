import { z } from "zod";
import { labels, modelName, wholeNumber } from "./config-values.ts";
import type { Limits } from "./ledger.ts";

/** Keys, accounts, the ledger and who is told of receipts. Messages and descriptions as in `config-schema.ts`. */

const MAX_COUNT = 1_000_000_000;
const NANO_PER_USD = 1_000_000_000;
/** Nano-dollars beyond it are no exact integers any more. */
const MAX_USD = 9_000_000;

const limits = z
  .strictObject({
    requestsPerMinute: wholeNumber(1, MAX_COUNT).optional().describe("Requests a minute; beyond, 429."),
    tokensPerMinute: wholeNumber(1, MAX_COUNT)
      .optional()
      .describe("Tokens a minute, prompt and completion; beyond, 429."),
    concurrentRequests: wholeNumber(1, MAX_COUNT)
      .optional()
      .describe("Requests in flight at the same time; beyond, 429."),
    monthlyUsd: z
      .number()
      .min(0)
      .max(MAX_USD)
      .optional()
      .describe("US dollars a calendar month (UTC); beyond, 429 `insufficient_quota`."),
    totalUsd: z
      .number()
      .min(0)
      .max(MAX_USD)
      .optional()
      .describe("US dollars ever; beyond, 429 `insufficient_quota`."),
  })
  .transform(
    ({ monthlyUsd, totalUsd, ...rates }): Limits => ({
      ...rates,
      ...(monthlyUsd === undefined ? {} : { monthlyNanoUsd: Math.round(monthlyUsd * NANO_PER_USD) }),
      ...(totalUsd === undefined ? {} : { totalNanoUsd: Math.round(totalUsd * NANO_PER_USD) }),
    }),
  );

/** A Durable Object's name and a column: short, and nothing that could be text of a user. */
export const accountId = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, "1 to 63 letters, digits, dots, dashes or underscores");

/** What a key or an account is granted. */
const grantFields = {
  models: z.array(modelName).optional().describe("The models it may ask for; all when left out."),
  limits: limits.prefault({}).describe("How much it may ask for."),
  modelLimits: z
    .record(modelName, limits)
    .default({})
    .describe("How much it may ask of single models, by name."),
  labels: labels.default({}).describe("Words of your own, shown with it."),
};

export const accounts = z.array(
  z.strictObject({
    id: accountId.describe("Names the account in keys, receipts and exports."),
    prepaid: z
      .boolean()
      .default(false)
      .describe("Its balance must cover every request; credit it with `sluice accounts credit`."),
    ...grantFields,
  }),
);

export const KEY_PREFIX = "sk-slc-";

/** What fits into a header and is no guess. */
const keyText = z
  .string()
  .min(16)
  .max(512)
  .regex(/^[\x21-\x7e]+$/, "16 to 512 printable characters");

export const keys = z.array(
  z.strictObject({
    id: accountId.describe("Names the key in receipts and exports."),
    key: keyText
      .optional()
      .describe(`The key itself; \${NAME} takes it from the environment. Or \`sha256\`.`),
    sha256: z
      .string()
      .regex(/^[0-9a-f]{64}$/, "64 lower-case hex digits")
      .optional()
      .describe("The SHA-256 of the key, so that no file holds it."),
    account: accountId.default("default").describe("The account that pays."),
    expires: z.iso.datetime({ offset: true }).optional().describe("When it ends, ISO 8601."),
    ...grantFields,
  }),
);

export const auth = z
  .enum(["auto", "required"])
  .default("auto")
  .describe("`auto` serves everybody while there is not a single key; `required` never does.");

export const admin = z.strictObject({
  key: keyText
    .optional()
    .describe(`The key of the admin API; \${NAME} takes it from the environment. Left out: no admin API.`),
});

export const ledger = z.strictObject({
  store: z
    .enum(["sqlite", "postgres", "memory"])
    .default("sqlite")
    .describe(
      "Where money and keys are kept on this host; `memory` forgets all at exit. At the edge: a Durable Object.",
    ),
  path: z.string().min(1).optional().describe("The SQLite file; left out, in the user's data folder."),
  url: z
    .string()
    .regex(/^postgres(ql)?:\/\//, "a postgres:// URL")
    .optional()
    .describe(`Postgres, for several hosts; \${NAME} takes it from the environment.`),
  redis: z
    .string()
    .regex(/^rediss?:\/\//, "a redis:// URL")
    .optional()
    .describe("Redis or Valkey for the rate limits of several hosts; left out, Postgres keeps them."),
});

export const webhooks = z.array(
  z.strictObject({
    id: accountId.describe("Names it in logs; a new id is told of receipts from now on."),
    url: z
      .string()
      .refine(
        (text) => URL.canParse(text) && /^https?:$/.test(new URL(text).protocol),
        "an http or https URL",
      )
      .describe("Where each settled receipt is posted."),
    secret: z
      .string()
      .min(16)
      .refine((text) => !text.startsWith("whsec_") || isBase64(text.slice(6)), "base64 after `whsec_`")
      .describe(`Signs each post (HMAC-SHA-256, Standard Webhooks); \${NAME} takes it from the environment.`),
  }),
);

function isBase64(text: string): boolean {
  return /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text);
}
