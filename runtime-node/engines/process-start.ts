import type { Log } from "../../functions/deps.ts";
import type { BackoffOptions } from "./process-backoff.ts";
import { type Child, type ChildExit, type Command, freePort, startChild } from "./process-child.ts";
import { explainEnd, firstErrorLine, type ProcessFailure } from "./process-failure.ts";
import { listensOn } from "./process-group.ts";
import { createWorkload, type LivenessLimits, type Workload } from "./process-liveness.ts";
import type { ProcessLog } from "./process-log.ts";
import { type RunningChild, recordChild } from "./process-record.ts";

/** One try to bring an engine's process up. */

export interface ProcessLimits extends LivenessLimits {
  /** From the last line it printed, in ms. */
  readonly startTimeoutMs: number;
  /** From the start, whatever it prints, in ms. */
  readonly startCapMs: number;
  /** Between two looks whether it answers yet, in ms. */
  readonly pollMs: number;
  readonly pingTimeoutMs: number;
  /** From SIGTERM to SIGKILL, in ms. */
  readonly stopMs: number;
  /** The same for one that hangs. */
  readonly hungStopMs: number;
}

export interface ProcessOptions {
  readonly id: string;
  /** May take long, as where it fetches the model; `signal` ends that. What it throws is why the start failed. */
  readonly command: (port: number, signal: AbortSignal) => Command | Promise<Command>;
  /** Resolves when the HTTP side answers; cheap. */
  readonly ping: (port: number, signal: AbortSignal) => Promise<void>;
  /** Resolves when one token came back. */
  readonly probe: (port: number, signal: AbortSignal) => Promise<void>;
  /** The stage of a start that a line tells of. */
  readonly progressOf?: (line: string) => string | undefined;
  /** A line after which the engine is of no use, though it may run on. */
  readonly isFatal?: (line: string) => boolean;
  /** Never shown in the log. */
  readonly secrets?: readonly string[];
  /** Where running processes are noted for the next start's sweep. */
  readonly stateDir: string;
  /** Our own environment; the child gets what it needs of it. */
  readonly env: NodeJS.ProcessEnv;
  readonly log: Log;
  readonly limits?: Partial<ProcessLimits>;
  readonly backoff?: Omit<BackoffOptions, "monotonic">;
  readonly monotonic?: () => number;
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
}

export interface Running {
  readonly pid: number;
  readonly port: number;
  readonly workload: Workload;
  /** Aborted when it no longer runs. */
  readonly signal: AbortSignal;
}

export interface Run extends Running {
  readonly child: Child;
  readonly ended: AbortController;
  /** Removes the note for the next start's sweep. */
  readonly forget: () => void;
  /** What it printed: the lines that tell of errors, then the last ones. */
  readonly output: () => readonly string[];
  /** Resolves with a line after which it is of no use. */
  readonly fatal: Promise<string>;
}

export type Attempt =
  | { readonly ok: true; readonly run: Run }
  | { readonly ok: false; readonly failure: ProcessFailure | "stopped" };

export interface Starter extends Required<Pick<ProcessOptions, "monotonic" | "sleep">> {
  readonly options: ProcessOptions;
  readonly limits: ProcessLimits;
  readonly log: ProcessLog;
  readonly env: NodeJS.ProcessEnv;
  /** Ends what did not come up. */
  readonly endChild: (child: Child, graceMs: number) => Promise<void>;
  readonly onProgress: (stage: string) => void;
}

/** Lines that tell of errors, kept beside the log: a long traceback may push the first ones out of it. */
const MAX_ERROR_LINES = 40;

export async function attemptStart(starter: Starter, signal: AbortSignal): Promise<Attempt> {
  const { options, limits, log, monotonic } = starter;
  const port = await freePort();
  let command: Command;
  try {
    command = await options.command(port, signal);
  } catch (thrown) {
    if (signal.aborted) return { ok: false, failure: "stopped" };
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    // It may fetch the model: another time it can work.
    return { ok: false, failure: { kind: "no_command", message, isPermanent: false } };
  }
  let stage = "starts";
  starter.onProgress(stage);
  log.note(`sluice: starts ${command.file} on port ${port}`);
  const begun = monotonic();
  let lastLine = begun;
  const from = log.lines(1).at(-1)?.number ?? 0;
  const errors: string[] = [];
  const fatal = Promise.withResolvers<string>();
  const unsubscribe = log.subscribe(({ text }) => {
    lastLine = monotonic();
    const next = options.progressOf?.(text);
    if (next !== undefined) {
      stage = next;
      starter.onProgress(stage);
    }
    if (errors.length < MAX_ERROR_LINES && firstErrorLine([text]) !== undefined) errors.push(text);
    if (options.isFatal?.(text) === true) fatal.resolve(text);
  });
  const output = () => {
    const kept = log.lines().filter(({ number }) => number > from);
    return [...errors, ...kept.map(({ text }) => text)];
  };
  const explain = (exit: ChildExit) => explainEnd({ command: command.file, output: output(), ...exit });

  const child = startChild(command, starter.env, log);
  const { pid } = child;
  if (pid === undefined) {
    const failure = explain(await child.exited);
    unsubscribe();
    return { ok: false, failure };
  }
  const forget = await noted(options, { id: options.id, pid, port, tag: child.tag });
  const over = new AbortController();
  const waiting = AbortSignal.any([signal, over.signal]);
  const outcome = await Promise.race([
    child.exited.then(explain),
    fatal.promise.then((line): ProcessFailure => {
      const told = explain({});
      return told.kind === "crashed" ? { ...told, message: `It printed: ${line}`, line } : told;
    }),
    untilLate(starter, () => ({ begun, lastLine, stage }), waiting),
    untilReady(starter, port, waiting),
    aborted(signal),
  ]);
  over.abort();
  if (outcome === "ready" && listensOn(pid, port) !== false) {
    const ended = new AbortController();
    ended.signal.addEventListener("abort", unsubscribe, { once: true });
    const workload = createWorkload(monotonic);
    const run = { pid, port, child, ended, signal: ended.signal, forget, output, workload };
    return { ok: true, run: { ...run, fatal: fatal.promise } };
  }
  unsubscribe();
  await starter.endChild(child, outcome === "stopped" ? limits.stopMs : limits.hungStopMs);
  forget();
  if (outcome !== "ready") return { ok: false, failure: outcome };
  const message = `Another program answers on its port ${port}.`;
  return { ok: false, failure: { kind: "port_taken", message, isPermanent: false } };
}

/** Without a note only the sweep after a crash of ours misses it: no reason not to serve (a full disk, a folder of another). */
async function noted({ stateDir, log }: ProcessOptions, child: RunningChild): Promise<() => void> {
  try {
    return await recordChild(stateDir, child);
  } catch (thrown) {
    log.warn("engine's process can't be noted for a later sweep", {
      engine: child.id,
      error: String(thrown),
    });
    return () => {};
  }
}

async function untilReady(
  { options, limits, sleep }: Starter,
  port: number,
  signal: AbortSignal,
): Promise<"ready"> {
  for (;;) {
    try {
      await options.ping(port, AbortSignal.any([signal, AbortSignal.timeout(limits.pingTimeoutMs)]));
      // Without a limit of its own: an engine that still loads its model answers when that is done.
      await options.probe(port, signal);
      return "ready";
    } catch {
      // Not yet. What is really wrong shows as an exit, a line in the log, or the time limit.
      await sleep(limits.pollMs, signal).catch(() => {}); // Decided otherwise: the next line tells.
      if (signal.aborted) return await new Promise<never>(() => {});
    }
  }
}

async function untilLate(
  { limits, monotonic, sleep }: Starter,
  times: () => { readonly begun: number; readonly lastLine: number; readonly stage: string },
  signal: AbortSignal,
): Promise<ProcessFailure> {
  for (;;) {
    const { begun, lastLine, stage } = times();
    const now = monotonic();
    const leftMs = Math.min(begun + limits.startCapMs, lastLine + limits.startTimeoutMs) - now;
    if (leftMs <= 0) {
      const isCap = now - begun >= limits.startCapMs;
      const limit = isCap
        ? `within ${limits.startCapMs} ms`
        : `and printed nothing for ${limits.startTimeoutMs} ms`;
      return {
        kind: "late",
        message: `It did not become ready ${limit}. The last stage it told of: ${stage}.`,
        isPermanent: false,
      };
    }
    await sleep(leftMs, signal).catch(() => {}); // Decided otherwise: the next line tells.
    if (signal.aborted) return await new Promise<never>(() => {});
  }
}

function aborted(signal: AbortSignal): Promise<"stopped"> {
  if (signal.aborted) return Promise.resolve("stopped");
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve("stopped"), { once: true }));
}
