import type { z } from "zod";
import { isModelSource, modelIdFromSource } from "./config-source.ts";
import { ENGINES } from "./detector.ts";

/** Runs beside other problems, so that one start names them all; what is malformed has been named and is passed over. */
export function refuseDuplicates(value: unknown, context: z.core.$RefinementCtx): void {
  const taken = new Map<string, string>();
  const claim = (name: unknown, path: (string | number)[], kind: string): void => {
    if (typeof name !== "string") return;
    const owner = taken.get(`${kind} ${name}`);
    if (owner !== undefined) {
      const message = `a ${kind} that is not taken (${owner} has it)`;
      context.addIssue({ code: "custom", path, message });
    } else taken.set(`${kind} ${name}`, `${path[0]}[${path[1]}]`);
  };
  for (const [index, backend] of entries(value, "backends")) {
    claim(field(backend, "id"), ["backends", index, "id"], "backend id");
    if (ENGINES.some((engine) => engine === field(backend, "id"))) {
      const message = `an id that is no engine's name (${ENGINES.join(", ")})`;
      context.addIssue({ code: "custom", path: ["backends", index, "id"], message });
    }
  }
  for (const list of ["keys", "accounts", "webhooks"]) {
    for (const [index, entry] of entries(value, list))
      claim(field(entry, "id"), [list, index, "id"], `${list.slice(0, -1)} id`);
  }
  for (const [index, key] of entries(value, "keys")) {
    if ((field(key, "key") === undefined) === (field(key, "sha256") === undefined))
      context.addIssue({ code: "custom", path: ["keys", index], message: "either `key` or `sha256`" });
  }
  if (
    field(field(value, "ledger"), "store") === "postgres" &&
    field(field(value, "ledger"), "url") === undefined
  )
    context.addIssue({ code: "custom", path: ["ledger", "url"], message: "the URL of the database" });
  refusePrices(value, context);
  for (const [index, model] of entries(value, "models")) {
    const source = field(model, "source");
    const isDerived = field(model, "id") === undefined && typeof source === "string" && isModelSource(source);
    const id = isDerived ? modelIdFromSource(source) : field(model, "id");
    claim(id, ["models", index, isDerived ? "source" : "id"], "model name");
    for (const [position, alias] of entries(model, "aliases")) {
      claim(alias, ["models", index, "aliases", position], "model name");
    }
  }
}

/** A model costs the same whichever of its backends answers: a client is told one price, and a hold is made by it. */
function refusePrices(value: unknown, context: z.core.$RefinementCtx): void {
  const known = new Map<unknown, { readonly price: string; readonly at: string }>();
  for (const [index, backend] of entries(value, "backends")) {
    for (const [position, entry] of entries(backend, "models")) {
      const id = typeof entry === "string" ? entry : field(entry, "id");
      const price = JSON.stringify(field(entry, "price") ?? field(value, "price"));
      const first = known.get(id) ?? { price, at: `backends[${index}].models[${position}]` };
      known.set(id, first);
      if (first.price === price) continue;
      const path = ["backends", index, "models", position, "price"];
      context.addIssue({
        code: "custom",
        path,
        message: `the price that ${first.at} has for the same model`,
      });
    }
  }
}

function field(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, key) : undefined;
}

function entries(value: unknown, key: string): [number, unknown][] {
  const list = field(value, key);
  return Array.isArray(list) ? [...list.entries()] : [];
}
