import { randomBytes } from "node:crypto";
import { createHttpEngine, type Transport } from "../../functions/backends/http-engine.ts";
import type { Log } from "../../functions/deps.ts";
import type { Engine } from "../../shared/engine.ts";
import { type ApiError, unavailable } from "../../shared/openai/errors.ts";
import { createEngineProcess, type EngineProcess, EngineStartError, type Running } from "./process.ts";
import type { ProcessLimits } from "./process-start.ts";
import type { EngineKit, HostedModel } from "./supervised-kit.ts";
import { watchedTransport } from "./supervised-transport.ts";

/** One model in a process of its own, and the HTTP engine that reaches the process. */
export interface SupervisedModel {
  readonly model: HostedModel;
  readonly process: EngineProcess;
  /** The present run; started where there is none. Rejects with an `ApiError`, or the signal's reason. */
  reach(signal?: AbortSignal): Promise<Reached>;
  /** Ends what is in flight, and the process. */
  stop(): Promise<void>;
}

export interface Reached {
  readonly run: Running;
  readonly engine: Engine;
}

export interface SupervisedModelOptions {
  readonly kit: EngineKit;
  readonly transport: Transport;
  readonly limits?: Partial<ProcessLimits> | undefined;
  /** From a request sent to its headers, and between two pieces of a stream, in ms. */
  readonly headersTimeoutMs: number;
  readonly idleTimeoutMs: number;
  /** Where running processes are noted. */
  readonly stateDir: string;
  readonly env: NodeJS.ProcessEnv;
  readonly log: Log;
}

export function createSupervisedModel(model: HostedModel, options: SupervisedModelOptions): SupervisedModel {
  const { kit, transport, stateDir, env, log, limits } = options;
  // Known to the child alone: nobody else on this machine can use its port.
  const key = `sk-${randomBytes(24).toString("hex")}`;
  const process = createEngineProcess({
    id: `${kit.engine}:${model.id}`,
    command: (port, signal) => kit.command(model, port, key, signal),
    ping,
    probe,
    progressOf: kit.progressOf,
    isFatal: kit.isFatal,
    secrets: [key],
    stateDir,
    env,
    log,
    ...(limits === undefined ? {} : { limits }),
  });
  let reached: Reached | undefined;

  async function ping(port: number, signal: AbortSignal): Promise<void> {
    const url = `http://127.0.0.1:${port}/health`;
    const response = await transport({ method: "GET", url, headers: {}, signal });
    await response.text();
    if (response.status !== 200) throw new Error(`The health route answered ${response.status}`);
  }

  /** One token. */
  async function probe(port: number, signal: AbortSignal): Promise<void> {
    const response = await transport({
      method: "POST",
      url: `http://127.0.0.1:${port}/v1/completions`,
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: JSON.stringify({ model: kit.servedName(model), prompt: "a", max_tokens: 1, temperature: 0 }),
      signal,
    });
    const text = await response.text();
    if (response.status !== 200)
      throw new Error(`The first token: status ${response.status}, ${text.slice(0, 200)}`);
  }

  return {
    model,
    process,
    async reach(signal) {
      let run: Running;
      try {
        run = await process.ensureReady(signal);
      } catch (thrown) {
        throw thrown instanceof EngineStartError ? startError(model.id, thrown) : thrown;
      }
      if (reached?.run === run) return reached;
      const engine = createHttpEngine({
        id: kit.engine,
        url: `http://127.0.0.1:${run.port}/v1`,
        apiKey: key,
        headers: {},
        models: [kit.servedName(model)],
        headersTimeoutMs: options.headersTimeoutMs,
        idleTimeoutMs: options.idleTimeoutMs,
        transport: watchedTransport(transport, run.workload),
        dialect: kit.dialect(model),
      });
      reached = { run, engine };
      return reached;
    },
    async stop() {
      const last = reached;
      reached = undefined;
      await last?.engine.close();
      await process.stop();
    },
  };
}

/** What a client may know of a start that failed: no path, no line of a log. */
function startError(model: string, error: EngineStartError): ApiError {
  const why = error.failure === undefined ? "" : ` (${error.failure.kind.replaceAll("_", " ")})`;
  const retryMs = Math.max(MIN_RETRY_MS, error.retryAfterMs);
  return unavailable(
    `The engine of the model \`${model}\` can't start${why}. The server's log says more.`,
    retryMs,
    error,
  );
}

const MIN_RETRY_MS = 1000;
