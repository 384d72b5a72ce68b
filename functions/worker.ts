import { type Config, parseConfig } from "../shared/config.ts";
import { createMemoryLedger } from "../shared/memory-ledger.ts";
import { createApp } from "./app.ts";
import { backendEntries } from "./backends/entries.ts";
import type { Deps } from "./deps.ts";
import { createLog } from "./log.ts";

/** `sluice.yaml` as JSON, put in at build time; `${NAME}` in it is read from the Worker's bindings. */
declare const SLUICE_CONFIG: unknown;

let app: ReturnType<typeof createApp> | undefined;

export default {
  fetch(
    request: Request,
    env: Record<string, unknown>,
    context: ExecutionContext,
  ): Response | Promise<Response> {
    app ??= createApp(edgeDeps(parseConfig(SLUICE_CONFIG, env)));
    return app.fetch(request, env, context);
  },
};

function edgeDeps(config: Config): Deps {
  // workerd's clocks stand still while code runs and move with I/O: good enough for durations of requests.
  const clock = { now: () => Date.now(), monotonic: () => performance.now() };
  return {
    config,
    engines: backendEntries(
      config,
      () =>
        ({ url, ...init }) =>
          // A backend that redirects would have its key sent elsewhere.
          fetch(url, { ...init, redirect: "manual" }),
    ),
    ledger: createMemoryLedger({ now: clock.now }),
    clock,
    log: createLog(config.log.level, (line) => console.log(line)),
    platform: { info: { system: "workerd" }, sample: async () => ({}) },
  };
}
