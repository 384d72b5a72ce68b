import { join } from "node:path";
import type { Command } from "commander";
import { highestHeld, type Ladder, nextLoad, rungsOf } from "../analyze/ladder.ts";
import { type Arrivals, arrivalTimes } from "../arrivals.ts";
import { monotonicMs } from "../clock.ts";
import { type Drive, usersDrive } from "../driver.ts";
import { InputError } from "../exit.ts";
import { type Measured, measure } from "../measure.ts";
import { openOutput } from "../output.ts";
import { readProfile } from "../profile.ts";
import type { Result, SweepPoint } from "../result.ts";
import {
  createLiveOf,
  folderOf,
  hooksOf,
  jobOf,
  openSession,
  type Planned,
  report,
  resultOf,
  type Session,
} from "../session.ts";
import { createWorkload, type Workload } from "../workload.ts";
import { durationMs } from "./flags.ts";
import { addLoadFlags, type LoadFlags, sessionOptions } from "./load-flags.ts";
import { readArrivals, readRange, scheduleDrive, warmupOf } from "./rate.ts";
import { hasChat } from "./run.ts";

interface SweepFlags extends LoadFlags {
  readonly profile: string;
  readonly concurrency?: string;
  readonly rps?: string;
  readonly arrivals: string;
  readonly time: number;
}

interface Sweep extends Ladder {
  readonly over: "rate" | "concurrency";
}

interface Step {
  readonly load: number;
  readonly planned: Planned;
  readonly measured: Measured;
  readonly point: SweepPoint;
}

export function configureSweep(command: Command): void {
  addLoadFlags(command)
    .option("--profile <name|file>", "what is asked; its think times play no part", "chat")
    .option("--concurrency <list>", "streams at once, such as 1,5,10,20,50")
    .option("--rps <a..b>", "or requests a second: from a, doubled up to b")
    .option("--arrivals <kind>", "of rates: constant, poisson, or gamma:SHAPE", "poisson")
    .option("--time <duration>", "of each step", durationMs, 20_000)
    .action(sweep);
}

async function sweep(target: string, flags: SweepFlags): Promise<void> {
  const profile = await readProfile(flags.profile);
  const arrivals = readArrivals(flags.arrivals);
  const ladder = ladderOf(flags);
  const options = sessionOptions("sweep", target, flags, profile.slos);
  const session = await openSession(options, hasChat(profile));
  try {
    const output = await openOutput(join(folderOf(options)));
    const workload = createWorkload({ profile, seed: flags.seed, chat: session.chat });
    const zeroAt = monotonicMs();
    const steps: Step[] = [];
    const held = () => steps.map(({ load, point }) => ({ load, holds: point.isHeld }));
    for (let load = nextLoad([], ladder); load !== undefined; load = nextLoad(held(), ladder)) {
      const planned = plan(ladder, load, workload, arrivals, flags);
      const live = createLiveOf(session, `${ladder.over} ${Number(load.toFixed(2))}`, flags.time);
      const measured = await measure(
        { ...jobOf(session, planned), step: { index: steps.length, zeroAt } },
        { ...hooksOf(session, output), onSecond: live.second },
      );
      live.stop();
      if (measured.wasInterrupted && steps.length > 0) break;
      steps.push({ load, planned, measured, point: pointOf(ladder, load, measured) });
      if (measured.wasInterrupted) break;
    }
    const result = await resultOfSweep(session, ladder, steps);
    await report(session, output, result);
    process.exitCode = result.exitCode;
  } finally {
    session.close();
  }
}

/** Its figures are of the highest step that held, or else of the first. */
async function resultOfSweep(session: Session, ladder: Sweep, steps: readonly Step[]): Promise<Result> {
  const highest = highestHeld(steps.map(({ load, point }) => ({ load, holds: point.isHeld }))) ?? null;
  const chosen = steps.find(({ load }) => load === highest) ?? steps[0];
  if (chosen === undefined) throw new RangeError("a ladder has at least one rung");
  const measured: Measured = {
    ...chosen.measured,
    startedAt: steps[0]?.measured.startedAt ?? chosen.measured.startedAt,
    finishedAt: steps.at(-1)?.measured.finishedAt ?? chosen.measured.finishedAt,
    wasInterrupted: session.signal.aborted,
    series: steps.flatMap((step) => step.measured.series),
  };
  return resultOf(
    session,
    { ...chosen.planned, load: { kind: "sweep", over: ladder.over, loads: [...ladder.rungs] } },
    measured,
    { points: steps.map(({ point }) => point), highestHeld: highest },
  );
}

function pointOf({ over }: Sweep, load: number, measured: Measured): SweepPoint {
  const { aggregated, achieved, goodput, slo, isSteady, verdict } = measured;
  const metrics = Object.entries(aggregated.metrics).map(([name, { hdr: _, ...figures }]) => [name, figures]);
  return {
    load,
    achieved: over === "rate" ? achieved.requestsPerSecond : achieved.inFlight,
    requestsPerSecond: aggregated.requestsPerSecond,
    tokensPerSecond: aggregated.tokensPerSecond.completion,
    goodput,
    requests: aggregated.requests,
    failures: aggregated.failures,
    metrics: Object.fromEntries(metrics),
    slo,
    isSteady,
    isValid: verdict.isValid,
    isHeld:
      isSteady &&
      verdict.isValid &&
      slo.every(({ isHeld }) => isHeld) &&
      aggregated.failures < aggregated.requests,
  };
}

function plan(
  { over }: Sweep,
  load: number,
  workload: Workload,
  arrivals: Arrivals,
  { time, warmup, seed, arrivals: arrivalsText }: SweepFlags,
): Planned {
  const limits = { durationMs: time, requests: null, maxInFlight: null };
  const schedule = { arrivals, requestsPerSecond: load, rampTo: null, durationMs: time, seed };
  const drive: Drive =
    over === "rate"
      ? scheduleDrive(workload, arrivalTimes(schedule), limits)
      : usersDrive({
          users: load,
          spawnPerSecond: load,
          durationMs: time,
          requests: null,
          thinkMs: 0,
          call: workload.call,
          thinkAfterMs: () => 0,
        });
  return {
    load:
      over === "rate"
        ? { kind: "rate", requestsPerSecond: load, rampTo: null, arrivals: arrivalsText, maxInFlight: null }
        : { kind: "concurrency", concurrency: load },
    drive,
    requests: null,
    warmupMs: warmup ?? (over === "rate" ? warmupOf(time) : 0),
  };
}

function ladderOf({ concurrency, rps }: SweepFlags): Sweep {
  if (concurrency !== undefined && rps === undefined) {
    const rungs = concurrency.split(",").map((text) => (/^\d+$/.test(text.trim()) ? Number(text) : 0));
    const isRising = rungs.every((rung, at) => rung > (rungs[at - 1] ?? 0));
    if (!isRising)
      throw new InputError(`--concurrency ${concurrency} is no rising list of whole numbers; write 1,5,10`);
    return { over: "concurrency", rungs, isWhole: true };
  }
  if (rps !== undefined && concurrency === undefined) {
    const [from, to] = readRange("--rps", rps);
    if (from >= to) throw new InputError(`--rps ${rps} does not rise; write 1..20`);
    return { over: "rate", rungs: rungsOf(from, to), isWhole: false };
  }
  throw new InputError("sweep takes either --concurrency 1,5,10,20,50 or --rps 1..20");
}
