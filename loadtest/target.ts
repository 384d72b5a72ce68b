import { request } from "undici";
import { z } from "zod";
import { monotonicMs } from "./clock.ts";
import { DeadTargetError, InputError } from "./exit.ts";
import { type Client, createClient } from "./request.ts";
import { chatCall } from "./workload.ts";

/** The server under test, as its user names it. */
export interface Target {
  /** Scheme, host and port. */
  readonly origin: string;
  /** Before `/health` and `/v1`; mostly empty. */
  readonly pathPrefix: string;
  readonly headers: Readonly<Record<string, string>>;
}

const MODELS_LIMIT_MS = 10_000;

/** `http://host:8000` and `http://host:8000/v1` mean the same. Throws `InputError`. */
export function readTarget(text: string, headers: Readonly<Record<string, string>>): Target {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol))
    throw new InputError(`target ${JSON.stringify(text)} is no URL; write http://127.0.0.1:8000`);
  return { origin: url.origin, pathPrefix: url.pathname.replace(/\/*(\/v1\/*)?$/, ""), headers };
}

/** For results: without user, password and query. */
export function targetText({ origin, pathPrefix }: Target): string {
  return origin + pathPrefix;
}

const modelList = z.object({ data: z.array(z.object({ id: z.string() })).min(1) });

/** The first model that the server lists. Rejects with `DeadTargetError`. */
export async function firstModel({ origin, pathPrefix, headers }: Target): Promise<string> {
  const url = `${origin}${pathPrefix}/v1/models`;
  const limits = { headersTimeout: MODELS_LIMIT_MS, bodyTimeout: MODELS_LIMIT_MS };
  try {
    const { statusCode, body } = await request(url, { headers, ...limits });
    const text = await body.text();
    if (statusCode !== 200) throw new Error(`HTTP ${statusCode}: ${text.slice(0, 200)}`);
    return modelList.parse(JSON.parse(text)).data.map(({ id }) => id)[0] ?? "";
  } catch (cause) {
    const reason = cause instanceof z.ZodError ? "it lists no models" : causeText(cause);
    throw new DeadTargetError(`GET ${url}: ${reason}; is the server up? A model can be named with --model`, {
      cause,
    });
  }
}

/**
 * Whether the server takes vLLM's `continuous_usage_stats` and answers with a count in every chunk: asked once, as
 * some servers refuse a field they don't know.
 */
export async function hasContinuousUsage(target: Target, model: string, timeoutMs: number): Promise<boolean> {
  const client: Client = createClient({ ...target, connections: 1, timeoutMs });
  const chat = { model, nonce: null, maxTokens: null, hasContinuousUsage: true };
  const messages = [{ role: "user", content: "Hello" }] as const;
  const call = chatCall({ name: "probe", messages, maxTokens: 2, isStream: true }, chat);
  try {
    const { failure, stream } = await client.send(call, monotonicMs());
    return failure === null && stream?.hasUsageInChunks === true;
  } finally {
    await client.close();
  }
}

function causeText(cause: unknown): string {
  if (cause instanceof AggregateError && cause.errors.length > 0) return causeText(cause.errors[0]);
  return cause instanceof Error ? cause.message : String(cause);
}
