import { build } from "esbuild";
import { Miniflare } from "miniflare";

export interface Edge {
  readonly url: string;
  readonly baseURL: string;
  /** What the Worker and workerd logged, for tests that look there. */
  readonly logs: string[];
  close(): Promise<void>;
}

/** The worker's bundle, made once a test file; its config is the global that each start puts in front. */
let bundle: Promise<string> | undefined;

async function bundleWorker(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [new URL("../../functions/worker.ts", import.meta.url).pathname],
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
): Promise<Edge> {
  bundle ??= bundleWorker();
  const logs: string[] = [];
  const miniflare = new Miniflare({
    modules: true,
    script: `globalThis.SLUICE_CONFIG = ${JSON.stringify(config)};\n${await bundle}`,
    compatibilityDate: "2026-07-01",
    compatibilityFlags: ["enable_request_signal"],
    bindings,
    handleStructuredLogs: ({ message }: { message: string }) => void logs.push(message),
    host: "127.0.0.1",
    port: 0,
  });
  const url = (await miniflare.ready).origin;
  return { url, baseURL: `${url}/v1`, logs, close: () => miniflare.dispose() };
}
