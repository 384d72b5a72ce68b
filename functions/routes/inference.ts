import type { Context, Handler } from "hono";
import { ApiError, invalidRequest } from "../../shared/openai/errors.ts";
import { chatRequest, completionRequest, embeddingRequest, parseBody } from "../../shared/openai/schemas.ts";
import type { RequestContext } from "../middleware/request-context.ts";
import type { Serve } from "../serve.ts";

/** Who pays while no keys are configured. */
const OPEN_ACCOUNT = "open";

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
  const type = c.req.header("content-type");
  if (type !== undefined && !/^application\/([\w.-]+\+)?json\b/i.test(type)) {
    throw new ApiError(
      415,
      `Unsupported content type '${type.slice(0, 80)}'. Send JSON with 'content-type: application/json'.`,
    );
  }
  const text = await c.req.text();
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw Object.assign(
      invalidRequest("We could not parse the JSON body of your request. Send one JSON object."),
      { cause },
    );
  }
  const frame = {
    requestId: c.get("requestId"),
    account: OPEN_ACCOUNT,
    bodyChars: text.length,
    signal: c.req.raw.signal,
    waitUntil: (promise: Promise<unknown>) => c.executionCtx.waitUntil(promise),
  };
  return { json, frame };
}
