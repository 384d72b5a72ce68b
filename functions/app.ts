import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { cors } from "hono/cors";
import { withConfigured } from "../shared/configured-directory.ts";
import { ApiError, errorResponse, toApiError } from "../shared/openai/errors.ts";
import { createCatalog } from "./backends/catalog.ts";
import type { Deps } from "./deps.ts";
import { createAuth } from "./middleware/auth.ts";
import { type RequestContext, requestContext } from "./middleware/request-context.ts";
import { adminRoutes } from "./routes/admin.ts";
import { receiptsRoute } from "./routes/admin-receipts.ts";
import { engineRoutes } from "./routes/engines.ts";
import { inferenceRoutes } from "./routes/inference.ts";
import { modelRoutes } from "./routes/models.ts";
import { organizationRoutes } from "./routes/organization.ts";
import { receiptRoutes } from "./routes/receipts.ts";
import { systemRoutes } from "./routes/system.ts";
import { usageRoute } from "./routes/usage.ts";
import { createServe } from "./serve.ts";
import { createTraffic } from "./traffic.ts";

/** Headers a browser's client may read: SDKs act on them. */
const EXPOSED_HEADERS = [
  "x-request-id",
  "openai-processing-ms",
  "openai-version",
  "retry-after",
  "retry-after-ms",
  "x-should-retry",
  "x-ratelimit-limit-requests",
  "x-ratelimit-remaining-requests",
  "x-ratelimit-reset-requests",
  "x-ratelimit-limit-tokens",
  "x-ratelimit-remaining-tokens",
  "x-ratelimit-reset-tokens",
  "x-sluice-receipt",
  "x-sluice-cost-usd",
];

/** The whole application: the same on the host and at the edge. */
export function createApp(deps: Deps): Hono<RequestContext> {
  const traffic = createTraffic(deps.clock);
  const catalog = createCatalog(deps.engines);
  const inference = inferenceRoutes(createServe(deps, catalog, traffic), deps.config.strict);
  const models = modelRoutes(catalog);
  const system = systemRoutes(deps, traffic);
  const hosted = engineRoutes(deps);
  const directory = withConfigured(deps.config, deps.store.directory);
  const auth = createAuth({ ...deps, directory });
  const receipts = receiptRoutes(deps);
  const admin = adminRoutes(deps, directory);
  const organization = organizationRoutes(deps);

  const routes = [
    ["GET", "/", "anyone", system.index],
    ["GET", "/health", "anyone", system.health],
    ["GET", "/health/ready", "anyone", system.ready],
    ["GET", "/v1/system/status", "operator", system.status],
    ["GET", "/v1/system/engines/:id/logs", "operator", hosted.logs],
    ["POST", "/v1/system/models/:id{.+}/load", "operator", hosted.load],
    ["POST", "/v1/system/models/:id{.+}/unload", "operator", hosted.unload],
    ["GET", "/v1/models", "client", models.list],
    ["GET", "/v1/models/:id{.+}", "client", models.get],
    ["DELETE", "/v1/models/:id{.+}", "client", models.delete],
    ["POST", "/v1/chat/completions", "client", inference.chat],
    ["POST", "/v1/completions", "client", inference.completions],
    ["POST", "/v1/embeddings", "client", inference.embeddings],
    ["GET", "/v1/usage", "client", usageRoute(deps)],
    ["GET", "/v1/receipts/:id", "client", receipts.own],
    ["GET", "/v1/organization/usage/completions", "admin", organization.completions],
    ["GET", "/v1/organization/usage/embeddings", "admin", organization.embeddings],
    ["GET", "/v1/organization/costs", "admin", organization.costs],
    ["GET", "/v1/admin/accounts", "admin", admin.listAccounts],
    ["POST", "/v1/admin/accounts", "admin", admin.putAccount],
    ["GET", "/v1/admin/accounts/:id", "admin", admin.showAccount],
    ["POST", "/v1/admin/accounts/:id/credits", "admin", admin.credit],
    ["GET", "/v1/admin/accounts/:account/receipts/:id", "admin", receipts.any],
    ["GET", "/v1/admin/keys", "admin", admin.listKeys],
    ["POST", "/v1/admin/keys", "admin", admin.createKey],
    ["DELETE", "/v1/admin/keys/:id", "admin", admin.revokeKey],
    ["GET", "/v1/admin/receipts", "admin", receiptsRoute(deps)],
  ] as const;

  const app = new Hono<RequestContext>();
  app.use(requestContext(deps.clock));
  const { origins } = deps.config.cors;
  // "*" means any origin only by itself: in a list it would be compared as an origin.
  app.use(
    cors({ origin: origins.includes("*") ? "*" : origins, exposeHeaders: EXPOSED_HEADERS, maxAge: 86_400 }),
  );
  // After the key, so that nobody unknown gets a body read.
  const limited = bodyLimit({
    maxSize: deps.config.limits.bodyBytes,
    onError: () => {
      throw new ApiError(413, `The request body is larger than ${deps.config.limits.bodyBytes} bytes.`);
    },
  });

  // Clients forget the /v1: every route answers without it too.
  const paths = new Map<string, string[]>();
  for (const [method, path, who, handler] of routes) {
    for (const each of new Set([path, path.replace(/^\/v1/, "")])) {
      app.on(method, each, auth[who], limited, handler);
      paths.set(each, [...(paths.get(each) ?? []), method]);
    }
  }
  for (const [path, methods] of paths) {
    app.all(path, (c) => {
      throw new ApiError(
        405,
        `${c.req.method} is not allowed on ${c.req.path}. Allowed: ${methods.join(", ")}.`,
        {
          headers: { allow: methods.join(", ") },
        },
      );
    });
  }
  app.notFound((c) => {
    const message = `Unknown request URL: ${c.req.method} ${c.req.path}. See the README for the routes served here.`;
    return errorResponse(new ApiError(404, message));
  });
  app.onError((thrown, c) => {
    const error = toApiError(thrown);
    if (error.status >= 500) {
      const fields = { requestId: c.get("requestId"), path: c.req.path, status: error.status };
      // A refusal that was meant tells all there is; where a bug is only its stack tells.
      if (error === thrown) {
        const cause = error.cause === undefined ? {} : { cause: String(error.cause) };
        deps.log.warn("request refused", { ...fields, reason: error.message, ...cause });
      } else {
        const stack = thrown instanceof Error ? thrown.stack : undefined;
        deps.log.error("request failed", { ...fields, reason: String(thrown), stack });
      }
    }
    return errorResponse(error);
  });
  return app;
}
