import { setTimeout as sleepFor } from "node:timers/promises";
import { createBackoff } from "./process-backoff.ts";
import { type Child, type ChildExit, childEnvironment } from "./process-child.ts";
import { explainEnd, type ProcessFailure } from "./process-failure.ts";
import { watchLiveness } from "./process-liveness.ts";
import { createProcessLog, type ProcessLog } from "./process-log.ts";
import {
  attemptStart,
  type ProcessLimits,
  type ProcessOptions,
  type Run,
  type Running,
} from "./process-start.ts";

export type { ProcessOptions, Running } from "./process-start.ts";

export type ProcessState = "stopped" | "starting" | "ready" | "stopping";

/**
 * One engine's process: started, watched, started again, stopped. What each call promises in each state:
 *
 * | | stopped | starting | ready | stopping |
 * |---|---|---|---|---|
 * | `ensureReady` | starts, once it may | joins the start | resolves at once | starts when it has stopped |
 * | `stop` | nothing | ends the start; its waiters get an `EngineStartError` | stops | joins the stop |
 * | it ends by itself | – | the waiters get why | starts again after a pause | as wanted |
 *
 * After `close` it stays stopped, and `ensureReady` rejects. Every change of state settles whoever waited for it.
 */
export interface EngineProcess {
  readonly id: string;
  /**
   * The only way in. Resolves when one token came back from it. Concurrent callers share one start; `signal` ends the
   * caller's waiting, never the start. Rejects with an `EngineStartError`, or the signal's reason.
   */
  ensureReady(signal?: AbortSignal): Promise<Running>;
  /** Resolves when no process of it is left. */
  stop(): Promise<void>;
  /** `stop`, for good. */
  close(): Promise<void>;
  /** Forgets earlier failures: the next start is tried at once. */
  retry(): void;
  status(): ProcessStatus;
  readonly log: ProcessLog;
}

export interface ProcessStatus {
  readonly state: ProcessState;
  /** What a start is at: the last stage that its log told of. */
  readonly progress?: string;
  readonly pid?: number;
  readonly port?: number;
  /** Starts after the first. */
  readonly restarts: number;
  /** Why it last failed; gone once it is ready again. */
  readonly failure?: ProcessFailure;
}

export class EngineStartError extends Error {
  override readonly name = "EngineStartError";
  readonly failure: ProcessFailure | undefined;
  /** When it is worth asking again, in ms. */
  readonly retryAfterMs: number;
  constructor(message: string, retryAfterMs: number, failure?: ProcessFailure) {
    super(message);
    this.retryAfterMs = retryAfterMs;
    this.failure = failure;
  }
}

/** vLLM may take minutes for a stage of its first start (graph capture), and takes 4 s to stop (measured 2026-11-24). */
const LIMITS: ProcessLimits = {
  startTimeoutMs: 300_000,
  startCapMs: 3_600_000,
  pollMs: 200,
  pingTimeoutMs: 5000,
  stopMs: 30_000,
  hungStopMs: 2000,
  canaryMs: 30_000,
  canaryTimeoutMs: 20_000,
  misses: 3,
  tokenGapMs: 60_000,
  answerMs: 900_000,
};

export function createEngineProcess(options: ProcessOptions): EngineProcess {
  const { id, monotonic = () => performance.now(), sleep = sleepUntil } = options;
  const limits = { ...LIMITS, ...options.limits };
  const backoff = createBackoff({ monotonic, ...options.backoff });
  const log = createProcessLog({ secrets: options.secrets ?? [] });
  const env = childEnvironment(options.env);
  let current: Run | undefined;
  let starting: { readonly promise: Promise<Running>; readonly abort: AbortController } | undefined;
  let stopping: Promise<void> | undefined;
  let isClosed = false;
  let progress: string | undefined;
  let failure: ProcessFailure | undefined;
  let starts = 0;

  const starter = {
    options,
    limits,
    log,
    env,
    monotonic,
    sleep,
    endChild,
    onProgress: (stage: string) => {
      progress = stage;
    },
  };

  // The actor: what changes the process runs one after the other, in the order it was asked for.
  let last: Promise<unknown> = Promise.resolve();
  function enqueue<T>(work: () => Promise<T>): Promise<T> {
    const done = last.then(work);
    last = done.catch(() => {}); // Its caller has the error; the next one starts afresh.
    return done;
  }

  function ensureReady(signal?: AbortSignal): Promise<Running> {
    if (isClosed) return Promise.reject(new EngineStartError(`${id} is closed.`, 1000));
    if (current !== undefined && stopping === undefined) return Promise.resolve(current);
    // A start that is being stopped is nobody's but theirs who asked before.
    if (starting === undefined || starting.abort.signal.aborted) {
      const restMs = backoff.restMs();
      if (restMs > 0) return Promise.reject(new EngineStartError(messageOf(failure), restMs, failure));
      begin();
    }
    return orAborted(starting?.promise ?? ensureReady(signal), signal);
  }

  function begin(): void {
    const abort = new AbortController();
    const promise = enqueue(() => start(abort.signal)).finally(() => {
      if (starting?.abort === abort) starting = undefined;
    });
    starting = { promise, abort };
    // Everyone who asked may have left; the failure is in the status.
    promise.catch(() => !abort.signal.aborted && startAgain());
  }

  /** After a failure, by itself, for as long as it may. */
  function startAgain(): void {
    if (!isClosed && stopping === undefined && backoff.restMs() === 0) ensureReady().catch(() => {}); // As above.
  }

  async function start(signal: AbortSignal): Promise<Running> {
    const waitMs = backoff.waitMs();
    if (waitMs > 0) {
      progress = `waits ${Math.ceil(waitMs / 1000)} s after a failure`;
      await sleep(waitMs, signal).catch(() => {}); // Stopped: the next line tells.
    }
    if (signal.aborted) throw stoppedError();
    starts++;
    let result = await attemptStart(starter, signal);
    // Someone took the port between our look and the engine's: another one, at once.
    if (!result.ok && result.failure !== "stopped" && result.failure.kind === "port_taken")
      result = await attemptStart(starter, signal);
    if (!result.ok)
      throw result.failure === "stopped" ? stoppedError() : failed(result.failure, "could not start");
    const { run } = result;
    current = run;
    if (signal.aborted) throw stoppedError(); // What asked for that ends the run next.
    failure = undefined;
    progress = undefined;
    backoff.succeeded();
    options.log.info("engine is ready", { engine: id, pid: run.pid, port: run.port });
    void run.child.exited.then((exit) => onExit(run, exit));
    void watchLiveness({
      limits,
      workload: run.workload,
      sleep,
      probe: (late) => options.probe(run.port, late),
      ping: (late) => options.ping(run.port, late),
      signal: run.signal,
    }).then((fault) => fault !== undefined && onHung(run, fault));
    void run.fatal.then((line) => onHung(run, `It printed: ${line}`));
    return run;
  }

  function failed(reason: ProcessFailure, what: string): EngineStartError {
    failure = reason;
    progress = undefined;
    backoff.failed(reason.isPermanent);
    const restMs = backoff.restMs();
    options.log.error(`engine ${what}`, {
      engine: id,
      kind: reason.kind,
      reason: reason.message,
      line: reason.line,
    });
    log.note(`sluice: ${what}: ${reason.message}`);
    return new EngineStartError(messageOf(reason), Math.max(restMs, backoff.waitMs()), reason);
  }

  function onExit(run: Run, exit: ChildExit): void {
    if (current !== run) return;
    const reason = explainEnd({ command: id, output: run.output(), ...exit });
    // It has worked with this configuration before.
    lost(run, { ...reason, isPermanent: false }, "ended by itself");
  }

  function onHung(run: Run, message: string): void {
    if (current === run) lost(run, { kind: "hung", message, isPermanent: false }, "no longer works");
  }

  function lost(run: Run, reason: ProcessFailure, what: string): void {
    current = undefined;
    run.ended.abort(new Error(reason.message));
    void enqueue(async () => {
      await endChild(run.child, limits.hungStopMs);
      run.forget();
    });
    failed(reason, what);
    startAgain();
  }

  async function endChild(child: Child, graceMs: number): Promise<void> {
    const { wasKilled, pids } = await child.end(graceMs);
    if (wasKilled) log.note("sluice: SIGTERM was not enough, it was killed");
    if (pids.length > 0) options.log.error("engine left processes behind", { engine: id, pids });
  }

  function stop(): Promise<void> {
    starting?.abort.abort();
    stopping ??= enqueue(async () => {
      const run = current;
      current = undefined;
      if (run === undefined) return;
      run.ended.abort(new Error(`${id} was stopped.`));
      log.note("sluice: stops");
      await endChild(run.child, limits.stopMs);
      run.forget();
    }).finally(() => {
      stopping = undefined;
    });
    return stopping;
  }

  function stoppedError(): EngineStartError {
    return new EngineStartError(`${id} was stopped while it started.`, 1000);
  }

  function currentState(): ProcessState {
    if (stopping !== undefined) return "stopping";
    if (starting !== undefined) return "starting";
    return current === undefined ? "stopped" : "ready";
  }

  let closing: Promise<void> | undefined;
  return {
    id,
    ensureReady,
    stop,
    close: () => {
      isClosed = true;
      closing ??= stop();
      return closing;
    },
    retry: backoff.reset,
    status: () => ({
      state: currentState(),
      ...(progress === undefined ? {} : { progress }),
      ...(current === undefined ? {} : { pid: current.pid, port: current.port }),
      restarts: Math.max(0, starts - 1),
      ...(failure === undefined ? {} : { failure }),
    }),
    log,
  };
}

function messageOf(failure: ProcessFailure | undefined): string {
  if (failure === undefined) return "It does not run.";
  return failure.line === undefined || failure.message.includes(failure.line)
    ? failure.message
    : `${failure.message} It said: ${failure.line}`;
}

async function sleepUntil(ms: number, signal: AbortSignal): Promise<void> {
  await sleepFor(ms, undefined, { signal, ref: false });
}

/** `promise`, or the signal's reason, whichever comes first. */
function orAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const leave = () => reject(signal.reason);
    if (signal.aborted) return leave();
    signal.addEventListener("abort", leave, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", leave));
  });
}
