import type { Context, Handler } from "hono";
import { chatRequest, completionRequest, embeddingRequest, parseBody } from "../../shared/openai/schemas.ts";
import { readIdempotency } from "../idempotency.ts";
import { readJsonBody } from "../json-body.ts";
import type { RequestContext } from "../middleware/request-context.ts";
import type { Serve } from "../serve.ts";

export interface InferenceRoutes {
  readonly chat: Handler<RequestContext>;
  readonly completions: Handler<RequestContext>;
  readonly embeddings: Handler<RequestContext>;
}

/** Bodies are read and checked here; everything after is `serveCall`. `isStrict`: unknown fields are refused. */
export function inferenceRoutes(serve: Serve, isStrict: boolean): InferenceRoutes {
  return {
    chat: async (c) => {
      const { json, frame } = await readJson(c);
      return serve({ ...frame, route: "chat", body: parseBody(chatRequest, json, { isStrict }) });
    },
    completions: async (c) => {
      const { json, frame } = await readJson(c);
      return serve({
        ...frame,
        route: "completions",
        body: parseBody(completionRequest, json, { isStrict }),
      });
    },
    embeddings: async (c) => {
      const { json, frame } = await readJson(c);
      return serve({ ...frame, route: "embeddings", body: parseBody(embeddingRequest, json, { isStrict }) });
    },
  };
}

async function readJson(c: Context<RequestContext>) {
  const { text, json } = await readJsonBody(c);
  const frame = {
    requestId: c.get("requestId"),
    principal: c.get("principal"),
    bodyBytes: bytesOf(c.req.header("content-length"), text),
    idempotency: await readIdempotency(c.req.header("idempotency-key"), text),
    signal: c.req.raw.signal,
    waitUntil: (promise: Promise<unknown>) => c.executionCtx.waitUntil(promise),
  };
  return { json, frame };
}

/** UTF-8 bytes of one UTF-16 unit, at most. */
const MAX_BYTES_PER_CHAR = 3;

/** The body's bytes, or a bound where the client did not say: framing holds a client to what it said. */
function bytesOf(contentLength: string | undefined, text: string): number {
  const bytes = Number(contentLength);
  return Number.isSafeInteger(bytes) && bytes >= text.length ? bytes : text.length * MAX_BYTES_PER_CHAR;
}
