import type { Handler } from "hono";
import type { Deps } from "../deps.ts";
import type { RequestContext } from "../middleware/request-context.ts";
import type { Traffic } from "../traffic.ts";

export interface SystemRoutes {
  readonly index: Handler<RequestContext>;
  readonly health: Handler<RequestContext>;
  readonly ready: Handler<RequestContext>;
  readonly status: Handler<RequestContext>;
}

export function systemRoutes(deps: Deps, traffic: Traffic): SystemRoutes {
  const startedAt = deps.clock.monotonic();
  const engines = () =>
    deps.engines.map(({ engine, serves }) => {
      const { state, reason, active, queued, details } = engine.status();
      const models = serves === "any" ? ["*"] : serves.map(({ id }) => id);
      return {
        id: engine.id,
        state,
        ...(reason === undefined ? {} : { reason }),
        models,
        active,
        queued,
        details,
      };
    });
  const isReady = () => deps.engines.some(({ engine }) => engine.status().state === "ready");

  return {
    index: (c) => c.json({ name: "sluice", api: "/v1", health: "/health", status: "/v1/system/status" }),
    /** Alive: the process answers. */
    health: (c) => c.json({ status: "ok" }),
    /** Ready: an engine can answer. */
    ready: (c) => {
      const brief = engines().map(({ id, state, reason }) => ({
        id,
        state,
        ...(reason === undefined ? {} : { reason }),
      }));
      return isReady()
        ? c.json({ status: "ready", engines: brief })
        : c.json({ status: "unavailable", engines: brief }, 503, { "retry-after": "1" });
    },
    status: async (c) => {
      const states = engines();
      return c.json({
        status: isReady() ? "ready" : "unavailable",
        uptime_seconds: Math.round((deps.clock.monotonic() - startedAt) / 1000),
        platform: deps.platform.info,
        resources: await deps.platform.sample(),
        engines: states,
        models: states.flatMap(({ id, models }) => models.map((model) => ({ id: model, engine: id }))),
        queue: { queued: states.reduce((sum, { queued }) => sum + queued, 0) },
        traffic: traffic.summary(),
      });
    },
  };
}
