import type { Command } from "commander";
import { request } from "undici";
import { usersDrive } from "../driver.ts";
import { DeadTargetError, InputError } from "../exit.ts";
import { type Profile, readProfile, readStages, type Stage } from "../profile.ts";
import { openSession, type Planned, runPlanned } from "../session.ts";
import type { Target } from "../target.ts";
import { createWorkload, type Workload } from "../workload.ts";
import { durationMs, integer, positive } from "./flags.ts";
import { addLoadFlags, type LoadFlags, sessionOptions } from "./load-flags.ts";

interface RunFlags extends LoadFlags {
  readonly profile: string;
  readonly stage?: string;
  readonly users?: number;
  readonly spawn?: number;
  readonly time?: number;
}

const ON_START_LIMIT_MS = 10_000;

export function configureRun(command: Command): void {
  addLoadFlags(command)
    .option(
      "--profile <name|file>",
      "inference-user, concurrent-user, chat, or a YAML file",
      "inference-user",
    )
    .option("--stage <name>", "basic, medium, high, or all of them in turn (default: basic)")
    .option("--users <count>", "users at once, instead of the stage's", integer(1))
    .option("--spawn <rate>", "users started a second, instead of the stage's", positive)
    .option("--time <duration>", "how long, instead of the stage's", durationMs)
    .action(run);
}

async function run(target: string, flags: RunFlags): Promise<void> {
  const profile = await readProfile(flags.profile);
  const stages = await stagesOf(flags);
  const options = sessionOptions("run", target, flags, profile.slos);
  await start(profile, options.target);
  const session = await openSession(options, hasChat(profile));
  try {
    const workload = createWorkload({ profile, seed: flags.seed, chat: session.chat });
    let exitCode = 0;
    for (const stage of stages) {
      if (session.signal.aborted) break;
      const planned = plan(stage, profile, workload, flags.warmup ?? 0);
      const { exitCode: code } = await runPlanned(session, planned, stages.length > 1 ? stage.name : "");
      exitCode = Math.max(exitCode, code);
    }
    process.exitCode = exitCode;
  } finally {
    session.close();
  }
}

export function hasChat({ tasks }: Profile): boolean {
  return tasks.some((task) => "chat" in task);
}

function plan(stage: Stage, profile: Profile, workload: Workload, warmupMs: number): Planned {
  const [from, to] = profile.think?.uniform ?? [0, 0];
  return {
    load: {
      kind: "users",
      profile: profile.name,
      stage: stage.name || null,
      users: stage.users,
      spawnPerSecond: stage.spawn,
    },
    requests: null,
    warmupMs,
    drive: usersDrive({
      users: stage.users,
      spawnPerSecond: stage.spawn,
      durationMs: stage.time,
      requests: null,
      thinkMs: (from + to) / 2,
      call: workload.call,
      thinkAfterMs: workload.thinkMs,
    }),
  };
}

/** The stages to run; a stage that flags change has no name. */
async function stagesOf({ stage: name, users, spawn, time }: RunFlags): Promise<readonly Stage[]> {
  const stages = await readStages();
  const isChanged = users !== undefined || spawn !== undefined || time !== undefined;
  if (name === "all") {
    if (isChanged) throw new InputError("--stage all takes no --users, --spawn or --time; name one stage");
    return stages;
  }
  const found = stages.find((stage) => stage.name === (name ?? "basic"));
  if (found === undefined)
    throw new InputError(
      `--stage ${name} is not known; allowed: ${stages.map((stage) => stage.name).join(", ")}, all`,
    );
  if (!isChanged) return [found];
  return [{ name: "", users: users ?? found.users, spawn: spawn ?? found.spawn, time: time ?? found.time }];
}

/** What users ask before their first request. Rejects with `DeadTargetError` unless it is as required. */
async function start({ onStart }: Profile, { origin, pathPrefix, headers }: Target): Promise<void> {
  if (onStart === undefined) return;
  const url = `${origin}${pathPrefix}${onStart.get}`;
  const limits = { headersTimeout: ON_START_LIMIT_MS, bodyTimeout: ON_START_LIMIT_MS };
  const status = await request(url, { headers, ...limits }).then(
    async ({ statusCode, body }) => {
      await body.dump();
      return statusCode;
    },
    (cause: unknown) => {
      throw new DeadTargetError(`GET ${url} failed at the start: ${String(cause)}; is the server up?`, {
        cause,
      });
    },
  );
  if (status !== onStart.require)
    throw new DeadTargetError(`GET ${url} answered ${status} at the start; ${onStart.require} is required`);
}
