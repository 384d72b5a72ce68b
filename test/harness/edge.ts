import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { Miniflare } from "miniflare";

export interface Edge {
  readonly url: string;
  readonly baseURL: string;
  /** What the Worker and workerd logged, for tests that look there. */
  readonly logs: string[];
  /** Kills workerd where it stands and starts it again at the same address; needs `storage`. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

export interface EdgeOptions {
  /** A Worker for tests around the real one, a module of this folder; `functions/worker.ts` when left out. */
  readonly entry?: string;
  /** A folder that Durable Objects keep their storage in; forgotten with workerd when left out. */
  readonly storage?: string;
}

/** The bundles by entry, each made once a test file; the config is the global that each start puts in front. */
const bundles = new Map<string, Promise<string>>();

async function bundleWorker(entry: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL(entry, import.meta.url))],
    bundle: true,
    format: "esm",
    target: "es2024",
    conditions: ["workerd", "worker", "browser"],
    define: { SLUICE_CONFIG: "globalThis.SLUICE_CONFIG" },
    write: false,
  });
  return outputFiles.map(({ text }) => text).join("");
}

/**
 * The Worker in workerd, offline, with `config` as its `sluice.yaml` and `bindings` as its secrets.
 */
export async function startEdge(
  config: Record<string, unknown>,
  bindings: Record<string, string> = {},
  { entry = "../../functions/worker.ts", storage }: EdgeOptions = {},
): Promise<Edge> {
  const bundle = bundles.get(entry) ?? bundleWorker(entry);
  bundles.set(entry, bundle);
  const script = `globalThis.SLUICE_CONFIG = ${JSON.stringify(config)};\n${await bundle}`;
  const logs: string[] = [];
  const start = (port: number): Miniflare =>
    new Miniflare({
      modules: true,
      script,
      compatibilityDate: "2026-07-01",
      compatibilityFlags: ["enable_request_signal"],
      bindings,
      durableObjects: { LEDGER: { className: "LedgerObject", useSQLite: true } },
      ...(storage === undefined ? {} : { durableObjectsPersist: storage }),
      handleStructuredLogs: ({ message }: { message: string }) => void logs.push(message),
      host: "127.0.0.1",
      port,
    });
  let miniflare = start(0);
  const { origin, port } = await miniflare.ready;
  return {
    url: origin,
    baseURL: `${origin}/v1`,
    logs,
    restart: async () => {
      // It ends workerd by SIGKILL.
      await miniflare.dispose();
      miniflare = start(Number(port));
      await miniflare.ready;
    },
    close: () => miniflare.dispose(),
  };
}
