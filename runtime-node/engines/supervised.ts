import type { EngineCall, EngineState, EngineStatus, HostedEngine } from "../../shared/engine.ts";
import { ApiError, modelNotFound, unavailable } from "../../shared/openai/errors.ts";
import { createRegistry, type RegistryOptions } from "../models/registry.ts";
import { sweepOrphans } from "./process-record.ts";
import type { HostedModel } from "./supervised-kit.ts";
import {
  createSupervisedModel,
  type SupervisedModel,
  type SupervisedModelOptions,
} from "./supervised-model.ts";

export interface SupervisedOptions extends SupervisedModelOptions {
  readonly models: readonly HostedModel[];
  readonly registry?: RegistryOptions;
}

const RETRY_MS = 1000;

/** vLLM, MLX or llama-server, a process a model: started when a request needs it, watched, started again, stopped. */
export function createSupervisedEngine(options: SupervisedOptions): HostedEngine {
  const { kit, log, stateDir } = options;
  const registry = createRegistry(options.registry);
  const hosted = new Map<string, SupervisedModel>();
  let sweeping: Promise<void> | undefined;
  let closing: Promise<void> | undefined;
  let active = 0;
  for (const model of options.models) add(model);

  function add(model: HostedModel): void {
    const each = createSupervisedModel(model, options);
    hosted.set(model.id, each);
    const load = async () => {
      await sweep();
      try {
        await each.reach();
      } catch (thrown) {
        // The process would try again by itself, and the registry gives this model's room to others.
        await each.stop();
        throw thrown;
      }
    };
    registry.add({ id: model.id, bytes: model.bytes, ttlMs: model.ttlMs, load, unload: each.stop });
  }

  /** What a killed server left behind holds memory that the first model needs. */
  function sweep(): Promise<void> {
    sweeping ??= sweepOrphans(stateDir).then((swept) => {
      for (const { id, pids } of swept)
        log.warn("ended what a killed server left behind", { engine: id, pids });
    });
    return sweeping;
  }

  function find(model: string): SupervisedModel {
    if (closing !== undefined) throw unavailable("This server is shutting down.", RETRY_MS);
    const each = hosted.get(model);
    if (each === undefined) throw modelNotFound(model, [...hosted.keys()]);
    return each;
  }

  async function respond(call: EngineCall): Promise<Response> {
    const each = find(call.model);
    const lease = await registry.acquire(call.model, call.signal);
    active++;
    let isOver = false;
    const release = () => {
      if (isOver) return;
      isOver = true;
      active--;
      lease.release();
    };
    try {
      const response = await ask(each, { ...call, model: kit.servedName(each.model) });
      const isStream = call.route !== "embeddings" && call.body.stream === true;
      if (isStream) return releasedAtEnd(response, release);
      release();
      return response;
    } catch (thrown) {
      release();
      throw thrown;
    }
  }

  /** Once more where the process ended a moment ago: nothing of an answer exists. */
  async function ask(each: SupervisedModel, call: EngineCall): Promise<Response> {
    const { run, engine } = await each.reach(call.signal);
    try {
      return await engine.respond(call);
    } catch (thrown) {
      if (!isLostConnection(thrown) || !(await endsSoon(run.signal))) throw thrown;
      const { engine } = await each.reach(call.signal);
      return await engine.respond(call);
    }
  }

  async function load(model: string, signal?: AbortSignal): Promise<void> {
    const each = find(model);
    each.process.retry();
    const lease = await registry.acquire(model, signal);
    try {
      // Loaded it stays when its process crashes, and then it may be on its way up, or have given up.
      await each.reach(signal);
    } finally {
      lease.release();
    }
  }

  function status(): EngineStatus {
    const processes = [...hosted.values()].map(({ model, process }) => ({
      id: model.id,
      ...process.status(),
    }));
    const failed = processes.find(({ failure }) => failure !== undefined);
    const starting = processes.find(({ state }) => state === "starting");
    const isReady = processes.some(({ state }) => state === "ready");
    const reason = isReady ? undefined : (failed?.failure?.message ?? starting?.progress);
    return {
      state: stateOf(isReady, starting !== undefined, failed !== undefined),
      ...(reason === undefined ? {} : { reason }),
      active,
      queued: registry.queued(),
      details: Object.assign({}, ...processes.map((each) => detailsOf(each, processes.length > 1))),
    };
  }

  function stateOf(isReady: boolean, isStarting: boolean, hasFailed: boolean): EngineState {
    if (closing !== undefined || sweeping === undefined) return "stopped";
    if (isReady) return "ready";
    if (isStarting) return "starting";
    // Nothing is loaded, and the first request loads it: it can be asked.
    return hasFailed ? "failed" : "ready";
  }

  async function closeNow(): Promise<void> {
    await registry.close();
    await Promise.all([...hosted.values()].map(({ process }) => process.close()));
  }

  return {
    id: kit.engine,
    initialize: sweep,
    async loadModel(model, source) {
      if (!hosted.has(model)) add({ id: model, source, bytes: 0 });
      try {
        await load(model);
      } catch (thrown) {
        // Told to who configured it, not to a client: with all that is known.
        const cause = thrown instanceof ApiError ? thrown.cause : thrown;
        throw new Error(`${kit.engine} can't load ${model} from ${source}: ${messageOf(cause ?? thrown)}`, {
          cause: thrown,
        });
      }
    },
    isModelLoaded: (model) => closing === undefined && hosted.has(model),
    models: async () =>
      [...hosted.values()].map(({ model: { id, contextSize } }) => ({
        id,
        created: 0,
        ownedBy: kit.engine,
        ...(contextSize === undefined ? {} : { contextSize }),
      })),
    respond,
    load,
    unload: async (model) => {
      find(model);
      await registry.unload(model);
    },
    logs: (model) => hosted.get(model)?.process.log,
    status,
    close: () => {
      closing ??= closeNow();
      return closing;
    },
  };
}

type ProcessRow = { readonly id: string } & ReturnType<SupervisedModel["process"]["status"]>;

/** Flat, as a status is; with the model's id in front where there are several. */
function detailsOf({ id, failure, ...facts }: ProcessRow, hasOthers: boolean): EngineStatus["details"] {
  const all = {
    ...facts,
    ...(failure === undefined ? {} : { failure: failure.kind, failureLine: failure.line ?? null }),
  };
  return Object.fromEntries(
    Object.entries(all).map(([key, value]) => [hasOthers ? `${id}.${key}` : key, value]),
  );
}

/** The same stream; `release` is called when it has ended, was cancelled or broke. */
function releasedAtEnd(response: Response, release: () => void): Response {
  const reader = response.body?.getReader();
  if (reader === undefined) {
    release();
    return response;
  }
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const step = await reader.read();
          if (!step.done) return controller.enqueue(step.value);
          release();
          controller.close();
        } catch (thrown) {
          release();
          throw thrown;
        }
      },
      async cancel(reason) {
        await reader.cancel(reason).finally(release);
      },
    },
    { highWaterMark: 0 },
  );
  return new Response(body, { headers: response.headers });
}

/** Nobody listened, or a connection that was kept open broke: how a process that ended looks before that is noticed. */
const LOST: ReadonlySet<unknown> = new Set(["ECONNREFUSED", "ECONNRESET", "EPIPE", "UND_ERR_SOCKET"]);

function isLostConnection(thrown: unknown): boolean {
  const { cause } = Object(thrown);
  return cause instanceof Error && "code" in cause && LOST.has(cause.code);
}

/** How long the end of a process may take to be noticed, in ms. */
const NOTICE_MS = 2000;

async function endsSoon(run: AbortSignal): Promise<boolean> {
  const late = AbortSignal.timeout(NOTICE_MS);
  const either = AbortSignal.any([run, late]);
  if (!either.aborted)
    await new Promise((resolve) => either.addEventListener("abort", resolve, { once: true }));
  return run.aborted;
}

function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
