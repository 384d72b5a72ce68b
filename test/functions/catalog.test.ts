import { describe, expect, it } from "vitest";
import { createCatalog } from "../../functions/backends/catalog.ts";
import type { EngineEntry } from "../../functions/deps.ts";
import type { Engine, EngineModel } from "../../shared/engine.ts";
import { ApiError, badGateway } from "../../shared/openai/errors.ts";
import { FREE, toPrice } from "../../shared/pricing.ts";
import { dummy, entryOf } from "../harness/app.ts";

const signal = new AbortController().signal;

function engineOf(id: string, models: () => Promise<readonly EngineModel[]>): Engine {
  return { ...dummy(), id, models };
}

const modelOf = (id: string, ownedBy = "lab") => ({ id, created: 5, ownedBy, contextSize: 100 });
const open = (engine: Engine, price = FREE): EngineEntry => ({ engine, serves: "any", price });

describe("the pool of a model", () => {
  it("is every engine that names it, by id or alias, under its name there", () => {
    const price = toPrice({ prompt: 1, completion: 2 });
    const [one, two] = [engineOf("one", async () => []), engineOf("two", async () => [])];
    const catalog = createCatalog([
      entryOf(one, { id: "m", as: "m-local", aliases: ["gpt-4"], price, maxTokens: 9 }),
      entryOf(two, { id: "m", weight: 3 }),
    ]);
    const both = { id: "m", backend: undefined };
    expect(catalog.targets("m")).toEqual([
      { ...both, aliases: ["gpt-4"], engine: one, model: "m-local", weight: 1, price, maxTokens: 9 },
      { ...both, aliases: [], engine: two, model: "m", weight: 3, price: FREE, maxTokens: undefined },
    ]);
    expect(catalog.targets("gpt-4").map(({ engine }) => engine.id)).toEqual(["one"]);
  });

  it("has no engine with a weight of 0, and does not exist when all have", () => {
    const [off, on] = [engineOf("off", async () => []), engineOf("on", async () => [])];
    const entries = [entryOf(off, { id: "m", weight: 0 }), entryOf(on, { id: "m" })];
    expect(
      createCatalog(entries)
        .targets("m")
        .map(({ engine }) => engine.id),
    ).toEqual(["on"]);
    expect(() => createCatalog(entries.slice(0, 1)).targets("m")).toThrow(ApiError);
  });

  it("is every engine that serves any model, for a name that nobody names", () => {
    const price = toPrice({ prompt: 5, completion: 5 });
    const catalog = createCatalog([
      entryOf(
        engineOf("named", async () => []),
        { id: "m" },
      ),
      open(
        engineOf("any", async () => []),
        price,
      ),
    ]);
    expect(catalog.targets("other")).toMatchObject([
      { engine: { id: "any" }, model: "other", weight: 1, price },
    ]);
    expect(catalog.targets("m").map(({ engine }) => engine.id)).toEqual(["named"]);
  });

  it("does not exist for a name that nobody serves: 404, with what there is", () => {
    const catalog = createCatalog([entryOf(dummy(), { id: "m1" }), entryOf(dummy(), { id: "m2" })]);
    const refusal = () => catalog.targets("other");
    expect(refusal).toThrow(ApiError);
    expect(refusal).toThrow(/`other` does not exist.*m1, m2/);
  });

  it.each(["__proto__", "constructor", "toString"])("does not exist for %s", (name) => {
    expect(() => createCatalog([entryOf(dummy())]).targets(name)).toThrow(ApiError);
  });
});

describe("the list of models", () => {
  it("has each id once, with what its engine knows of it", async () => {
    const catalog = createCatalog([
      entryOf(
        engineOf("one", async () => [modelOf("inner")]),
        { id: "m", as: "inner" },
      ),
      open(engineOf("two", async () => [modelOf("m", "else"), modelOf("x")])),
    ]);
    expect(await catalog.list(signal)).toEqual([modelOf("m"), modelOf("x")]);
  });

  it("has a model that its engine does not list, as it was configured", async () => {
    const catalog = createCatalog([
      entryOf(
        engineOf("one", async () => []),
        { id: "m" },
      ),
    ]);
    expect(await catalog.list(signal)).toEqual([{ id: "m", created: 0, ownedBy: "one" }]);
  });

  it("is not hidden by a backend that is down", async () => {
    const down = () => Promise.reject(badGateway("down"));
    const catalog = createCatalog([
      open(engineOf("down", down)),
      entryOf(engineOf("named", down), { id: "m" }),
      open(engineOf("up", async () => [modelOf("x")])),
    ]);
    expect((await catalog.list(signal)).map(({ id }) => id)).toEqual(["m", "x"]);
  });
});
