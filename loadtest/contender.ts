import { randomBytes } from "node:crypto";
import { type Slice, sliceOf } from "./analyze/slices.ts";
import { usersDrive } from "./driver.ts";
import { DeadTargetError, InputError } from "./exit.ts";
import { type Measured, measure } from "./measure.ts";
import type { Profile } from "./profile.ts";
import type { Calibration } from "./result.ts";
import { firstModel, hasContinuousUsage, type Target, targetText } from "./target.ts";
import { type ChatOptions, createWorkload } from "./workload.ts";

/** One of two servers that are driven in turn. */
export interface Contender {
  readonly target: Target;
  readonly model: string;
  /** Of all its slices. */
  readonly tally: { readonly requests: number; readonly failures: number };
  /** What the client's check of itself said against slices that were not used, with how many. */
  readonly objections: ReadonlyMap<string, number>;
  /**
   * Drives it for one slice. The nth slices of both contenders ask the same. Undefined where the client was the
   * limit. Rejects with `DeadTargetError` when nothing succeeded, with `InputError` when the slice was too short.
   */
  measure(pair: number): Promise<Slice | undefined>;
}

export interface ContenderOptions {
  readonly target: Target;
  /** Null: the first that it lists. */
  readonly model: string | null;
  readonly profile: Profile;
  readonly concurrency: number;
  readonly sliceMs: number;
  readonly seed: number;
  readonly timeoutMs: number;
  readonly calibration: Calibration | null;
  readonly signal: AbortSignal;
}

/** Of a slice: not measured, until the streams are under way. */
const WARMUP_MS = 1000;
const WARMUP_SHARE = 0.1;

/** Asks the server for its model and what it can. Rejects with `DeadTargetError`. */
export async function createContender(options: ContenderOptions): Promise<Contender> {
  const { target, timeoutMs, calibration, signal, sliceMs } = options;
  const isChat = options.profile.tasks.some((task) => "chat" in task);
  const model = options.model ?? (isChat ? await firstModel(target) : "");
  const chat = {
    model,
    maxTokens: null,
    hasContinuousUsage: isChat && (await hasContinuousUsage(target, model, timeoutMs)),
  };
  const tally = { requests: 0, failures: 0 };
  const objections = new Map<string, number>();
  return {
    target,
    model,
    tally,
    objections,
    async measure(pair) {
      const warmupMs = Math.min(WARMUP_MS, sliceMs * WARMUP_SHARE);
      const drive = driveOf(options, chat, pair, warmupMs);
      const job = { ...target, drive, warmupMs, timeoutMs, slos: [], calibration };
      const measured = await measure(job, { signal });
      if (signal.aborted) return undefined;
      refuseUseless(measured, target, sliceMs);
      tally.requests += measured.aggregated.requests;
      tally.failures += measured.aggregated.failures;
      for (const { level, name } of measured.verdict.checks)
        if (level === "invalid") objections.set(name, (objections.get(name) ?? 0) + 1);
      return measured.verdict.isValid ? sliceOf(measured.aggregated) : undefined;
    },
  };
}

function driveOf(
  { profile, concurrency, sliceMs, seed }: ContenderOptions,
  chat: Omit<ChatOptions, "nonce">,
  pair: number,
  warmupMs: number,
) {
  // The same draws for both; another nonce, as both may have the same cache behind them.
  const nonce = randomBytes(4).toString("hex");
  const workload = createWorkload({ profile, seed: seed + pair, chat: { ...chat, nonce } });
  return usersDrive({
    users: concurrency,
    spawnPerSecond: (concurrency / warmupMs) * 2000,
    durationMs: warmupMs + sliceMs,
    requests: null,
    thinkMs: 0,
    call: workload.call,
    thinkAfterMs: () => 0,
  });
}

function refuseUseless({ aggregated, window, failures }: Measured, target: Target, sliceMs: number): void {
  const { requests, failures: failed } = aggregated;
  if (requests > 0 && requests === failed)
    throw new DeadTargetError(`${targetText(target)} answered nothing: ${failures[0]?.error ?? ""}`);
  if (window === null || requests === 0)
    throw new InputError(
      `a slice of ${sliceMs / 1000} s is too short for ${targetText(target)}: write a longer --slice`,
    );
}
