import { randomBytes } from "node:crypto";
import { join } from "node:path";
import pkg from "../package.json" with { type: "json" };
import { createMonitor, type Monitor } from "../runtime-node/monitor.ts";
import { getPlatformInfo } from "../runtime-node/probe.ts";
import type { Slo } from "./analyze/slo.ts";
import { readCalibration } from "./calibration-store.ts";
import type { Drive } from "./driver.ts";
import { EXIT } from "./exit.ts";
import { createLive } from "./live.ts";
import { type Job, type Measured, type MeasureHooks, measure } from "./measure.ts";
import { type Output, openOutput } from "./output.ts";
import { summaryText } from "./report/summary.ts";
import type { Language } from "./report/words.ts";
import type { Calibration, Result } from "./result.ts";
import { firstModel, hasContinuousUsage, type Target, targetText } from "./target.ts";
import { ceilingWarning } from "./verdict.ts";
import type { ChatOptions } from "./workload.ts";

/** What every command that drives a load was told. */
export interface SessionOptions {
  readonly command: Result["command"];
  readonly target: Target;
  readonly model: string | null;
  /** Of chat calls, instead of the profile's. */
  readonly maxTokens: number | null;
  /** Prompts may repeat, and be found in a cache. */
  readonly hasSharedPrefixes: boolean;
  readonly seed: number;
  readonly timeoutMs: number;
  readonly slos: readonly Slo[];
  /** Of the server, for its CPU and memory. */
  readonly pid: number | null;
  readonly out: string | null;
  readonly language: Language;
  readonly isJson: boolean;
  readonly isQuiet: boolean;
}

export interface Session {
  readonly options: SessionOptions;
  readonly chat: ChatOptions;
  readonly calibration: Calibration | null;
  readonly monitor: Monitor;
  /** Aborted by Ctrl-C; a second one ends the process. */
  readonly signal: AbortSignal;
  close(): void;
}

/** A load with what a result says of it. */
export interface Planned {
  readonly load: Result["plan"]["load"];
  readonly drive: Drive;
  readonly requests: number | null;
  readonly warmupMs: number;
}

const MONITOR_SAMPLES = 3600;

/** Finds the model, asks the server what it can, and starts to sample. Rejects with `DeadTargetError`. */
export async function openSession(options: SessionOptions, hasChat: boolean): Promise<Session> {
  const { target, model, maxTokens, hasSharedPrefixes, pid } = options;
  const asked = hasChat ? (model ?? (await firstModel(target))) : "";
  const isContinuous = hasChat && (await hasContinuousUsage(target, asked, options.timeoutMs));
  const monitor = createMonitor({ window: MONITOR_SAMPLES, ...(pid === null ? {} : { pid }) });
  await monitor.current();
  const interrupt = new AbortController();
  const onSignal = (): void => {
    if (interrupt.signal.aborted) process.exit(EXIT.interrupted);
    interrupt.abort();
  };
  process.on("SIGINT", onSignal).on("SIGTERM", onSignal);
  return {
    options,
    chat: {
      model: asked,
      nonce: hasSharedPrefixes ? null : randomBytes(4).toString("hex"),
      maxTokens,
      hasContinuousUsage: isContinuous,
    },
    calibration: await readCalibration(),
    monitor,
    signal: interrupt.signal,
    close() {
      monitor.stop();
      process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
    },
  };
}

/** The job for a plan on the session's target. */
export function jobOf({ options, calibration }: Session, { drive, warmupMs }: Planned): Job {
  const { target, timeoutMs, slos } = options;
  return { ...target, drive, warmupMs, timeoutMs, slos, calibration };
}

/** Measures one plan, shows it as it goes, and writes its folder. Resolves with the result. */
export async function runPlanned(session: Session, planned: Planned, subfolder = ""): Promise<Result> {
  const output = await openOutput(join(folderOf(session.options), subfolder));
  warnOfCeiling(session, planned);
  const live = createLiveOf(session, subfolder || session.options.command, planned.drive.durationMs);
  const measured = await measure(jobOf(session, planned), {
    ...hooksOf(session, output),
    onSecond: live.second,
  });
  live.stop();
  const result = await resultOf(session, planned, measured);
  await report(session, output, result);
  return result;
}

export function createLiveOf({ options }: Session, title: string, durationMs: number | null) {
  if (options.isQuiet) return { second() {}, stop() {} };
  return createLive(title, durationMs === null ? null : durationMs / 1000);
}

export function hooksOf({ monitor, signal }: Session, output: Output): MeasureHooks {
  return {
    signal,
    onRecord: output.record,
    cpuPercentSince(since) {
      const samples = monitor.history().filter(({ at }) => at >= since);
      if (samples.length === 0) return undefined;
      return samples.reduce((sum, { cpuPercent }) => sum + cpuPercent, 0) / samples.length;
    },
  };
}

/** Writes the folder, and says how it went. */
export async function report({ options }: Session, output: Output, result: Result): Promise<void> {
  await output.finish(result, options.language);
  if (options.isJson) process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
  else process.stdout.write(`${summaryText(result, options.language)}${output.folder}\n`);
}

export async function resultOf(
  session: Session,
  { load, drive, requests, warmupMs }: Planned,
  { serverName, ...measured }: Measured,
  sweep: Result["sweep"] = null,
): Promise<Result> {
  const { options, chat, calibration, monitor } = session;
  const info = await getPlatformInfo();
  const since = new Date(measured.startedAt).getTime();
  const result = {
    schemaVersion: 1,
    tool: { name: "sluice loadtest", version: pkg.version },
    command: options.command,
    seed: options.seed,
    nonce: chat.nonce,
    platform: {
      system: info.system,
      machine: info.machine,
      cpuModel: info.cpuModel,
      cores: info.cores,
      cpuBudget: info.cpuBudget,
      memoryBytes: info.memoryBytes,
      gpus: info.gpus.map(({ name }) => name),
      nodeVersion: process.version,
    },
    plan: {
      target: targetText(options.target),
      model: chat.model || null,
      load,
      durationSeconds: drive.durationMs === null ? null : drive.durationMs / 1000,
      requests,
      warmupSeconds: warmupMs / 1000,
    },
    server: { name: serverName, pid: options.pid },
    ...measured,
    calibration,
    sweep,
    monitor: monitor
      .history()
      .filter(({ at }) => at >= since)
      .map((sample) => ({ ...sample, gpus: sample.gpus.map((gpu) => ({ ...gpu })) })),
  } as const;
  return { ...result, exitCode: exitCodeOf(result) };
}

/** An invalid run says nothing about objectives: 3 wins over 1. */
export function exitCodeOf(
  result: Pick<Result, "wasInterrupted" | "aggregated" | "verdict" | "slo">,
): number {
  if (result.wasInterrupted) return EXIT.interrupted;
  if (result.aggregated.requests === result.aggregated.failures) return EXIT.dead;
  if (!result.verdict.isValid) return EXIT.invalid;
  return result.slo.every(({ isHeld }) => isHeld) ? EXIT.held : EXIT.sloBroken;
}

/** Of a run's folder: `--out`, or one named after the moment. */
export function folderOf({ out, command }: SessionOptions): string {
  return out ?? join("loadtest-results", `${command}-${STARTED}`);
}

const STARTED = new Date().toISOString().slice(0, 19).replaceAll(/[:T]/g, "-");

export function warnOfCeiling({ calibration, options }: Session, { load }: Planned): void {
  const warning = ceilingWarning(load, calibration);
  if (warning !== undefined && !options.isQuiet) process.stderr.write(`loadtest: ${warning}\n`);
}
