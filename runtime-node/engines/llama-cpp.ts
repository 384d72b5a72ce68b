import type {
  EngineCall,
  EngineState,
  EngineStatus,
  GenerateEvent,
  GenerateRequest,
  GeneratingEngine,
} from "../../shared/engine.ts";
import { respondByGenerating } from "../../shared/openai/compose.ts";
import { unavailable } from "../../shared/openai/errors.ts";
import { chatGeneration, completionGeneration, type Feature } from "../../shared/openai/generation.ts";
import { type LlamaCppOptions, loadModel } from "./load-model.ts";
import type { LoadedModel } from "./loaded-model.ts";
import { type Native, startNative } from "./native.ts";

const FEATURES: ReadonlySet<Feature> = new Set(["tools", "format", "logprobs", "suffix"]);

/** When a client may come back for a model that is loading. */
const LOADING_RETRY_MS = 2000;

/**
 * llama.cpp in this process. Holds several models, each with a context and sequences of its own. What it can do with
 * them is decided at load, and shown by `status`.
 */
export function createLlamaCppEngine(options: LlamaCppOptions): GeneratingEngine {
  const models = new Map<string, LoadedModel>();
  const loading = new Map<string, Promise<void>>();
  let native: Promise<Native> | undefined;
  let closing: Promise<void> | undefined;
  let failure: string | undefined;

  function start(): Promise<Native> {
    native ??= startNative({
      gpu: options.gpu,
      maxThreads: Math.max(
        1,
        Math.floor(options.cpuBudget),
        options.threads ?? 1,
        options.prefillThreads ?? 1,
      ),
      log: options.log,
    });
    return native;
  }

  async function initialize(): Promise<void> {
    if (closing !== undefined) throw new Error("The engine is closed.");
    await noting(start());
  }

  function load(id: string, source: string): Promise<void> {
    if (closing !== undefined) return Promise.reject(new Error("The engine is closed."));
    if (models.has(id)) return Promise.resolve();
    const mine = loading.get(id) ?? noting(loadNow(id, source)).finally(() => loading.delete(id));
    loading.set(id, mine);
    return mine;
  }

  async function loadNow(id: string, path: string): Promise<void> {
    const started = await start();
    const taken = [...models.values()].reduce((sum, { memoryBytes }) => sum + memoryBytes, 0);
    const from = performance.now();
    const model = await loadModel({ id, path, memoryBytes: options.memoryBytes - taken }, started, options);
    models.set(id, model);
    const loadMs = Math.round(performance.now() - from);
    options.log.info(`llama.cpp has loaded ${id}.`, { ...model.details, loadMs });
  }

  /** Keeps why it failed for `status`. */
  async function noting<T>(work: Promise<T>): Promise<T> {
    try {
      const result = await work;
      failure = undefined;
      return result;
    } catch (thrown) {
      failure = thrown instanceof Error ? thrown.message : String(thrown);
      throw thrown;
    }
  }

  function modelFor(id: string): LoadedModel {
    const model = models.get(id);
    if (closing !== undefined) throw unavailable("This server is shutting down.", LOADING_RETRY_MS);
    if (model !== undefined) return model;
    const state = loading.has(id) ? "is loading" : "is not loaded";
    throw unavailable(`The model \`${id}\` ${state}. Try again in a moment.`, LOADING_RETRY_MS);
  }

  async function* generate(request: GenerateRequest): AsyncGenerator<GenerateEvent, void, void> {
    yield* modelFor(request.model).generate(request);
  }

  async function respond(call: EngineCall): Promise<Response> {
    const { fingerprint } = modelFor(call.model);
    return respondByGenerating(call, {
      generate: (request) => modelFor(request.model).generate(request),
      embed: (model, input, signal) => modelFor(model).embed(input, signal),
      fingerprint,
      can: FEATURES,
    });
  }

  async function countPrompt(call: EngineCall): Promise<number | undefined> {
    const model = modelFor(call.model);
    if (call.route === "embeddings") return undefined;
    const { prompts, tools } =
      call.route === "chat" ? chatGeneration(call.body, FEATURES) : completionGeneration(call.body, FEATURES);
    return prompts.reduce((sum, prompt) => sum + model.countPrompt({ prompt, tools }), 0);
  }

  function status(): EngineStatus {
    const all = [...models.values()];
    const state = currentState();
    const details = Object.assign({}, ...all.map((model) => model.details).reverse());
    return {
      state,
      ...(state === "failed" && failure !== undefined ? { reason: failure } : {}),
      active: all.reduce((sum, model) => sum + model.active(), 0),
      queued: all.reduce((sum, model) => sum + model.queued(), 0),
      details: all.length > 1 ? { ...details, models: all.map(({ id }) => id).join(", ") } : details,
    };
  }

  function currentState(): EngineState {
    if (closing !== undefined) return "stopped";
    if (models.size > 0) return "ready";
    if (loading.size > 0) return "starting";
    if (failure !== undefined) return "failed";
    return native === undefined ? "stopped" : "starting";
  }

  async function closeNow(): Promise<void> {
    await Promise.allSettled(loading.values());
    const reason = unavailable("This server is shutting down.", LOADING_RETRY_MS);
    await Promise.all([...models.values()].map((model) => model.close(reason)));
    const started = await native?.catch(() => undefined); // It never started: nothing to free.
    await started?.dispose();
    models.clear();
  }

  return {
    id: "llama_cpp",
    initialize,
    loadModel: load,
    isModelLoaded: (id) => closing === undefined && models.has(id),
    models: async () =>
      [...models.values()].map(({ id, created, contextSize }) => ({
        id,
        created,
        ownedBy: "llama_cpp",
        contextSize,
      })),
    generate,
    respond,
    countPrompt,
    status,
    close: () => {
      closing ??= closeNow();
      return closing;
    },
  };
}
