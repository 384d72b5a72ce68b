import { createMiddleware } from "hono/factory";
import { errorResponse, invalidRequest } from "../../shared/openai/errors.ts";
import type { Principal } from "../../shared/principal.ts";
import type { Clock } from "../deps.ts";

/** `principal` is there behind `auth.client` alone. */
export interface RequestContext {
  Variables: { requestId: string; principal: Principal };
}

/** Printable ASCII, as OpenAI takes it: up to 512 characters. */
const REQUEST_ID = /^[\x21-\x7e]{1,512}$/;

/** Gives every answer, errors and streams too, its request id, its time and OpenAI's version header. */
export function requestContext(clock: Clock) {
  return createMiddleware<RequestContext>(async function requestContext(c, next) {
    const startedAt = clock.monotonic();
    const asked = c.req.header("x-request-id") ?? c.req.header("x-client-request-id");
    const requestId =
      asked !== undefined && REQUEST_ID.test(asked)
        ? asked
        : `req_${crypto.randomUUID().replaceAll("-", "")}`;
    c.set("requestId", requestId);
    // No name holds one, and PostgreSQL fails on it.
    if (c.req.url.includes("%00"))
      c.res = errorResponse(invalidRequest("The URL holds a NUL character (%00)."));
    else await next();
    c.header("x-request-id", requestId);
    c.header("openai-version", "2020-10-01");
    // Until the headers: tokens of a stream come later.
    c.header("openai-processing-ms", String(Math.max(1, Math.round(clock.monotonic() - startedAt))));
  });
}
