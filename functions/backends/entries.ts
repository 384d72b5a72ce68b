import type { Config } from "../../shared/config.ts";
import type { EngineEntry } from "../deps.ts";
import { createHttpEngine, type Transport } from "./http-engine.ts";

/** The config's backends as engines, each reached through a transport of this host. */
export function backendEntries(
  config: Config,
  transportFor: (connectTimeoutMs: number) => Transport,
): readonly EngineEntry[] {
  return config.backends.map((backend) => {
    const { id, url, apiKey, headers = {}, headersTimeoutMs, idleTimeoutMs } = backend;
    const models = backend.models?.map((model) => ({
      ...model,
      price: model.price ?? config.price,
      aliases: [],
    }));
    const engine = createHttpEngine({
      id,
      url,
      apiKey,
      headers,
      models: models?.map(({ as }) => as) ?? "any",
      headersTimeoutMs,
      idleTimeoutMs,
      transport: transportFor(backend.connectTimeoutMs),
    });
    const { onAbort, drainMs } = backend;
    return { engine, serves: models ?? "any", price: config.price, backend: { id, onAbort, drainMs } };
  });
}
