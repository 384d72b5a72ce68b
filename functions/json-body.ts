import type { Context } from "hono";
import { ApiError, invalidRequest } from "../shared/openai/errors.ts";

export interface JsonBody {
  readonly text: string;
  readonly json: unknown;
}

/** The request's body. Throws 415 where it says that it is no JSON, and 400 where it isn't. */
export async function readJsonBody(c: Context): Promise<JsonBody> {
  const type = c.req.header("content-type");
  if (type !== undefined && !/^application\/([\w.-]+\+)?json\b/i.test(type)) {
    throw new ApiError(
      415,
      `Unsupported content type '${type.slice(0, 80)}'. Send JSON with 'content-type: application/json'.`,
    );
  }
  const text = await c.req.text();
  try {
    return { text, json: JSON.parse(text) };
  } catch (cause) {
    throw Object.assign(
      invalidRequest("We could not parse the JSON body of your request. Send one JSON object."),
      { cause },
    );
  }
}
