import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { serve } from "@hono/node-server";
import { createApp } from "../functions/app.ts";
import { backendEntries } from "../functions/backends/entries.ts";
import type { Deps, EngineEntry, Log, Platform } from "../functions/deps.ts";
import type { Config } from "../shared/config.ts";
import type { Engine } from "../shared/engine.ts";
import { errorResponse, unavailable } from "../shared/openai/errors.ts";
import type { Store } from "../shared/store.ts";
import { createAnswerStore } from "./answers.ts";
import { createTransport } from "./transport.ts";
import { startWebhookLoop } from "./webhook-loop.ts";

export interface ServerOptions {
  readonly config: Config;
  /** Runs the config's models in this process; undefined where there are only backends. */
  readonly local: Engine | undefined;
  /** The server's from now on: it closes it. */
  readonly store: Store;
  readonly platform: Platform;
  readonly log: Log;
}

export interface RunningServer {
  /** `http://address:port`, as a client on this machine reaches it. */
  readonly url: string;
  readonly port: number;
  /**
   * Stops: new requests get 503, what is in flight may finish within `limits.drainMs`, then it is cut off; engines and
   * ledger are closed. A second call returns the first one's promise.
   */
  close(): Promise<void>;
  /** Cuts off what is in flight; `close` then ends at once. */
  abort(): void;
}

/** How often expired holds are looked for, in ms. */
const SWEEP_MS = 30_000;
const WEBHOOK_CONNECT_MS = 5000;

/** Serves the app on this host. Rejects when it can't listen (port taken, no such address). */
export async function startServer({
  config,
  local,
  store,
  platform,
  log,
}: ServerOptions): Promise<RunningServer> {
  const transports: ReturnType<typeof createTransport>[] = [];
  const transportFor = (connectTimeoutMs: number) => {
    const made = createTransport(connectTimeoutMs);
    transports.push(made);
    return made.transport;
  };
  const clock = { now: () => Date.now(), monotonic: () => performance.now() };
  const engines: readonly EngineEntry[] = [
    ...(local === undefined ? [] : [localEntry(local, config)]),
    ...backendEntries(config, transportFor),
  ];
  const app = createApp({
    config,
    engines,
    store,
    answers: createAnswerStore(clock.now),
    clock,
    log,
    platform,
  } satisfies Deps);

  const settling = new Set<Promise<unknown>>();
  const context = {
    waitUntil(promise: Promise<unknown>) {
      settling.add(promise);
      void promise.finally(() => settling.delete(promise));
    },
    passThroughOnException() {},
    props: {},
  };
  let isDraining = false;
  const server = await listen(config, (request) => {
    if (!isDraining || new URL(request.url).pathname === "/health") return app.fetch(request, {}, context);
    const refusal = errorResponse(unavailable("The server is shutting down. Retry in a moment.", 1000));
    refusal.headers.set("connection", "close");
    return refusal;
  });

  let inFlight = 0;
  let onIdle = () => {};
  server.on("request", (_request, response) => {
    inFlight++;
    response.once("close", () => {
      inFlight--;
      if (inFlight === 0) onIdle();
    });
  });
  /** Also at the start: what a killed process held ends at its last checkpoint. */
  const sweepNow = async (): Promise<void> => {
    try {
      const lost = await store.ledger.sweep(clock.now());
      if (lost > 0) log.warn("settled requests that were lost", { requests: lost });
    } catch (error) {
      log.error("sweep failed", { error: String(error) });
    }
  };
  void sweepNow();
  const sweep = setInterval(sweepNow, SWEEP_MS).unref();

  const webhookLoop = startWebhookLoop({
    books: store.books,
    webhooks: config.webhooks,
    send: transportFor(WEBHOOK_CONNECT_MS),
    clock,
    log,
  });

  async function drain(): Promise<void> {
    isDraining = true;
    server.closeIdleConnections();
    const limit = setTimeout(() => server.closeAllConnections(), config.limits.drainMs);
    if (inFlight > 0) {
      log.info("draining", { inFlight, limitMs: config.limits.drainMs });
      await new Promise<void>((resolve) => {
        onIdle = resolve;
      });
    }
    clearTimeout(limit);
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
    clearInterval(sweep);
    await Promise.all(settling);
    await webhookLoop.stop();
    await Promise.all(engines.map(({ engine }) => engine.close()));
    await Promise.all(transports.map((made) => made.close()));
    await store.close();
  }

  const { port } = server.address() as AddressInfo; // It listens on TCP: never a pipe's string, never null.
  let closing: Promise<void> | undefined;
  return {
    url: `http://${reachableHost(config.host)}:${port}`,
    port,
    close: () => {
      closing ??= drain();
      return closing;
    },
    abort: () => server.closeAllConnections(),
  };
}

function localEntry(engine: Engine, config: Config): EngineEntry {
  const serves = config.models.map(({ id, aliases, price, maxTokens }) => ({
    id,
    aliases,
    as: id,
    weight: 1,
    price,
    ...(maxTokens === undefined ? {} : { maxTokens }),
  }));
  return { engine, serves, price: config.price };
}

function listen(config: Config, fetch: (request: Request) => Response | Promise<Response>): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = serve({ fetch, hostname: config.host, port: config.port }, () =>
      resolve(server),
    ) as Server; // HTTP/1: no `createServer` is given.
    server.once("error", reject);
  });
}

/** An address that listens everywhere is reached on loopback. */
function reachableHost(host: string): string {
  if (host === "0.0.0.0" || host === "::") return "127.0.0.1";
  return host.includes(":") ? `[${host}]` : host;
}
