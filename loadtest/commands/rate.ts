import type { Command } from "commander";
import { type Arrivals, arrivalTimes, parseArrivals } from "../arrivals.ts";
import { arrivalsDrive, type Drive } from "../driver.ts";
import { InputError } from "../exit.ts";
import { readProfile } from "../profile.ts";
import { openSession, runPlanned } from "../session.ts";
import { createWorkload, type Workload } from "../workload.ts";
import { durationMs, integer, positive } from "./flags.ts";
import { addLoadFlags, type LoadFlags, sessionOptions } from "./load-flags.ts";
import { hasChat } from "./run.ts";

interface RateFlags extends LoadFlags {
  readonly profile: string;
  readonly rps?: number;
  readonly ramp?: string;
  readonly arrivals: string;
  readonly time?: number;
  readonly requests?: number;
  readonly maxInFlight?: number;
}

/** Of an open loop; a fifth of a short run. */
const WARMUP_MS = 10_000;
const DEFAULT_TIME_MS = 60_000;

export function configureRate(command: Command): void {
  addLoadFlags(command)
    .option("--profile <name|file>", "what is asked; its think times play no part", "chat")
    .option("--rps <rate>", "requests a second", positive)
    .option("--ramp <a..b>", "instead of --rps: from one rate to the other over --time")
    .option("--arrivals <kind>", "constant, poisson, or gamma:SHAPE (below 1: bursts)", "poisson")
    .option("--time <duration>", "how long (default: 60s, or until --requests)", durationMs)
    .option("--requests <count>", "how many", integer(1))
    .option("--max-in-flight <count>", "later requests wait, and their waiting counts", integer(1))
    .action(rate);
}

async function rate(target: string, flags: RateFlags): Promise<void> {
  const profile = await readProfile(flags.profile);
  const arrivals = readArrivals(flags.arrivals);
  const [from, to] = ratesOf(flags);
  const timeMs = flags.time ?? (flags.requests === undefined ? DEFAULT_TIME_MS : null);
  if (to !== null && timeMs === null)
    throw new InputError("--ramp takes --time: the ramp's length; --requests alone has none");
  const session = await openSession(sessionOptions("rate", target, flags, profile.slos), hasChat(profile));
  try {
    const workload = createWorkload({ profile, seed: flags.seed, chat: session.chat });
    const schedule = { arrivals, requestsPerSecond: from, rampTo: to, durationMs: timeMs, seed: flags.seed };
    const requests = flags.requests ?? null;
    const maxInFlight = flags.maxInFlight ?? null;
    const result = await runPlanned(session, {
      load: { kind: "rate", requestsPerSecond: from, rampTo: to, arrivals: flags.arrivals, maxInFlight },
      requests,
      warmupMs: flags.warmup ?? warmupOf(timeMs),
      drive: scheduleDrive(workload, arrivalTimes(schedule), { durationMs: timeMs, requests, maxInFlight }),
    });
    process.exitCode = result.exitCode;
  } finally {
    session.close();
  }
}

/** One request at each of the moments. */
export function scheduleDrive(
  workload: Workload,
  arrivals: Iterable<number>,
  limits: Pick<Parameters<typeof arrivalsDrive>[0], "durationMs" | "requests" | "maxInFlight">,
): Drive {
  return arrivalsDrive({
    ...limits,
    arrivals,
    send: (n, due, fire) => fire(workload.call(0, n), due, null),
  });
}

export function warmupOf(timeMs: number | null): number {
  return timeMs === null ? 0 : Math.min(WARMUP_MS, timeMs / 5);
}

export function readArrivals(text: string): Arrivals {
  const arrivals = parseArrivals(text);
  if (arrivals !== undefined) return arrivals;
  throw new InputError(
    `--arrivals ${JSON.stringify(text)} is not known; allowed: constant, poisson, gamma:SHAPE with a shape above 0`,
  );
}

/** `a..b` with rising or falling rates. */
export function readRange(flag: string, text: string): readonly [number, number] {
  const [, from, to] = /^(\d+(?:\.\d+)?)\.\.(\d+(?:\.\d+)?)$/.exec(text) ?? [];
  if (Number(from) > 0 && Number(to) > 0) return [Number(from), Number(to)];
  throw new InputError(`${flag} ${JSON.stringify(text)} is no range; write 1..20`);
}

function ratesOf({ rps, ramp }: RateFlags): readonly [number, number | null] {
  if (ramp !== undefined && rps === undefined) return readRange("--ramp", ramp);
  if (rps !== undefined && ramp === undefined) return [rps, null];
  throw new InputError("rate takes either --rps or --ramp; write --rps 10, or --ramp 1..20");
}
