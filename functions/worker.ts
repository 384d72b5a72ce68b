import { type Config, parseConfig } from "../shared/config.ts";
import { createApp } from "./app.ts";
import { backendEntries } from "./backends/entries.ts";
import type { Transport } from "./backends/http-engine.ts";
import { createCachedAnswers } from "./cached-answers.ts";
import type { Deps } from "./deps.ts";
import { createLedgerObject, type ObjectNamespace } from "./ledger/durable.ts";
import { createDurableStore } from "./ledger/durable-store.ts";
import { createLog } from "./log.ts";
import { deliverDue } from "./webhooks.ts";

/** `sluice.yaml` as JSON, put in at build time; `${NAME}` in it is read from the Worker's bindings. */
declare const SLUICE_CONFIG: unknown;

type Env = Readonly<Record<string, unknown>>;

let app: ReturnType<typeof createApp> | undefined;

export default {
  fetch(request: Request, env: Env, context: ExecutionContext): Response | Promise<Response> {
    app ??= createApp(edgeDeps(env));
    return app.fetch(request, env, context);
  },
};

/** The Durable Object's class, as `wrangler.toml` names it. */
export const LedgerObject = createLedgerObject((env) => {
  const { config, clock, log } = edgeParts(env);
  return {
    now: clock.now,
    webhooks: config.webhooks.map(({ id }) => id),
    deliver: (books) => deliverDue({ books, webhooks: config.webhooks, send, clock, log }),
    log,
  };
});

function edgeDeps(env: Env): Deps {
  const parts = edgeParts(env);
  return {
    ...parts,
    engines: backendEntries(parts.config, () => send),
    store: createDurableStore(ledgerBinding(env), parts.clock),
    answers: createCachedAnswers(caches.default),
    platform: { info: { system: "workerd" }, sample: async () => ({}) },
  };
}

/** What the Worker and its Durable Objects have in common. */
function edgeParts(env: Env): Pick<Deps, "config" | "clock" | "log"> {
  const config: Config = parseConfig(SLUICE_CONFIG, env);
  return {
    config,
    // workerd's clocks stand still while code runs and move with I/O: good enough for durations of requests.
    clock: { now: () => Date.now(), monotonic: () => performance.now() },
    log: createLog(config.log.level, (line) => console.log(line)),
  };
}

/** A server that redirects would have its key or its signature sent elsewhere. */
const send: Transport = ({ url, ...init }) => fetch(url, { ...init, redirect: "manual" });

function ledgerBinding({ LEDGER }: Env): ObjectNamespace {
  if (isNamespace(LEDGER)) return LEDGER;
  throw new Error(
    "The binding LEDGER is missing: money and keys are kept in a Durable Object. Add to wrangler.toml, as in Sluice's own, a [[durable_objects.bindings]] with the name LEDGER and the class LedgerObject.",
  );
}

function isNamespace(binding: unknown): binding is ObjectNamespace {
  return typeof binding === "object" && binding !== null && "idFromName" in binding;
}
