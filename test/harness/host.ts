import { expect } from "vitest";
import type { Log } from "../../functions/deps.ts";
import { type RunningServer, startServer } from "../../runtime-node/server.ts";
import { parseConfig } from "../../shared/config.ts";
import { createDummyEngine } from "../../shared/dummy-engine.ts";
import type { Engine } from "../../shared/engine.ts";
import type { Store } from "../../shared/store.ts";
import { memoryStore } from "./app.ts";
import { eventually } from "./wire.ts";

export interface HostOptions {
  /** What `sluice.yaml` would hold; host and port are loopback and any free one. */
  readonly config?: Record<string, unknown>;
  /** Serves the config's models; the dummy engine when left out, none where the config has backends alone. */
  readonly engine?: Engine;
  /** Forgets everything when left out. */
  readonly store?: Store;
}

/** What the server logged, for tests that look there. */
export interface Host extends RunningServer {
  readonly baseURL: string;
  readonly logs: string[];
  /** Resolves when so many requests of inference are in flight. */
  inFlight(count: number): Promise<void>;
}

/** The real server of the host on a free loopback port. */
export async function startHost({
  config: raw = {},
  engine,
  store = memoryStore(),
}: HostOptions = {}): Promise<Host> {
  const config = parseConfig({ host: "127.0.0.1", port: 0, ...raw }, {});
  const local = engine ?? (config.models.length > 0 ? createDummyEngine() : undefined);
  for (const { id, source } of config.models) {
    if (local?.isModelLoaded(id) === false) await local.loadModel(id, source);
  }
  const logs: string[] = [];
  const write = (message: string, fields?: unknown) =>
    void logs.push(`${message} ${JSON.stringify(fields ?? {})}`);
  const log: Log = { debug: write, info: write, warn: write, error: write };
  const platform = { info: { system: "test" }, sample: async () => ({}) };
  const server = await startServer({ config, local, store, platform, log });
  const inFlight = (count: number) =>
    eventually(async () => {
      const status = await (await fetch(`${server.url}/v1/system/status`)).json();
      expect(status.traffic.in_flight).toBe(count);
    });
  return { ...server, baseURL: `${server.url}/v1`, logs, inFlight };
}
