import type { Context, Handler } from "hono";
import type { EngineModel } from "../../shared/engine.ts";
import { ApiError, modelNotFound } from "../../shared/openai/errors.ts";
import { mayAsk } from "../../shared/principal.ts";
import type { Catalog } from "../backends/catalog.ts";
import type { RequestContext } from "../middleware/request-context.ts";

export interface ModelRoutes {
  readonly list: Handler<RequestContext>;
  readonly get: Handler<RequestContext>;
  readonly delete: Handler<RequestContext>;
}

/** Clients see the models that their key may ask for. */
export function modelRoutes(catalog: Catalog): ModelRoutes {
  async function allowed(c: Context<RequestContext>): Promise<readonly EngineModel[]> {
    const models = await catalog.list(c.req.raw.signal);
    return models.filter(({ id }) => mayAsk(c.get("principal"), id));
  }

  return {
    list: async (c) => {
      const models = await allowed(c);
      return c.json({ object: "list", data: models.map(toWire) });
    },
    get: async (c) => {
      const id = c.req.param("id") ?? "";
      const models = await allowed(c);
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
