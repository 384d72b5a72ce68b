import type { Engine, EngineModel } from "../../shared/engine.ts";
import type { Price } from "../../shared/ledger.ts";
import { modelNotFound } from "../../shared/openai/errors.ts";
import type { BackendPolicy, EngineEntry, ServedModel } from "../deps.ts";

/** One way to answer for a model: an engine, and the model's name there. */
export interface Target {
  /** What it is called here, whatever alias was asked for. */
  readonly id: string;
  readonly aliases: readonly string[];
  readonly engine: Engine;
  readonly backend: BackendPolicy | undefined;
  readonly model: string;
  readonly weight: number;
  readonly price: Price;
  readonly maxTokens: number | undefined;
}

export interface Catalog {
  /** The pool of `model`: everyone who names it, else everyone who serves any. Never empty: throws 404 instead. */
  targets(model: string): readonly Target[];
  /** What can be asked for, each id once. A backend that doesn't answer is left out. */
  list(signal: AbortSignal): Promise<readonly EngineModel[]>;
}

export function createCatalog(entries: readonly EngineEntry[]): Catalog {
  const named = entries.flatMap((entry) =>
    entry.serves === "any" ? [] : entry.serves.map((served) => ({ entry, served })),
  );
  const pools = new Map<string, Target[]>();
  for (const { entry, served } of named) {
    if (served.weight === 0) continue;
    for (const id of [served.id, ...served.aliases]) {
      const pool = pools.get(id) ?? [];
      pool.push(targetOf(entry, served));
      pools.set(id, pool);
    }
  }
  const open = entries.filter((entry) => entry.serves === "any");

  return {
    targets(model) {
      const pool = pools.get(model);
      if (pool !== undefined) return pool;
      if (open.length === 0) throw modelNotFound(model, [...new Set(named.map(({ served }) => served.id))]);
      return open.map((entry) =>
        targetOf(entry, { id: model, aliases: [], as: model, weight: 1, price: entry.price }),
      );
    },
    async list(signal) {
      const lists = await Promise.all(entries.map((entry) => listEntry(entry, signal)));
      const models = new Map<string, EngineModel>();
      for (const model of lists.flat()) if (!models.has(model.id)) models.set(model.id, model);
      return [...models.values()];
    },
  };
}

function targetOf({ engine, backend }: EngineEntry, served: ServedModel): Target {
  const { id, aliases, as, weight, price, maxTokens } = served;
  return { id, aliases, engine, backend, model: as, weight, price, maxTokens };
}

async function listEntry(
  { engine, serves }: EngineEntry,
  signal: AbortSignal,
): Promise<readonly EngineModel[]> {
  const known = await engine.models(signal).catch(() => []); // A dead backend must not hide the others' models.
  if (serves === "any") return known;
  return serves.map(({ id, as }) => {
    const model = known.find((candidate) => candidate.id === as);
    return { created: 0, ownedBy: engine.id, ...model, id };
  });
}
