import type { Handler } from "hono";
import type { EngineModel } from "../../shared/engine.ts";
import { ApiError, modelNotFound } from "../../shared/openai/errors.ts";
import type { Catalog } from "../backends/catalog.ts";
import type { RequestContext } from "../middleware/request-context.ts";

export interface ModelRoutes {
  readonly list: Handler<RequestContext>;
  readonly get: Handler<RequestContext>;
  readonly delete: Handler<RequestContext>;
}

export function modelRoutes(catalog: Catalog): ModelRoutes {
  return {
    list: async (c) => {
      const models = await catalog.list(c.req.raw.signal);
      return c.json({ object: "list", data: models.map(toWire) });
    },
    get: async (c) => {
      const id = c.req.param("id") ?? "";
      const models = await catalog.list(c.req.raw.signal);
      const model = models.find((candidate) => candidate.id === id);
      if (model === undefined)
        throw modelNotFound(
          id,
          models.map((candidate) => candidate.id),
        );
      return c.json(toWire(model));
    },
    delete: async () => {
      throw new ApiError(403, "Models are set in the configuration and can't be deleted through the API.", {
        type: "permission_error",
      });
    },
  };
}

/** `max_model_len` as vLLM names it: clients that plan their context read it. */
function toWire({ id, created, ownedBy, contextSize }: EngineModel) {
  const model = { id, object: "model", created, owned_by: ownedBy };
  return contextSize === undefined ? model : { ...model, max_model_len: contextSize };
}
