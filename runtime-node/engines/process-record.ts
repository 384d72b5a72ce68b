import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { type GroupMember, groupMembers, processesWithEnv, processFacts } from "./process-group.ts";

/**
 * Notes on disk about the processes we run, so that the next start finds what a killed one left behind: nothing else
 * ends an engine whose parent died of SIGKILL, and it holds its memory and its GPU (vllm#34643).
 */

/** In a child's environment: finds what left its process group. */
export const TAG_VARIABLE = "SLUICE_ENGINE_TAG";

const record = z.object({
  id: z.string(),
  pid: z.int().positive(),
  startedAt: z.string(),
  command: z.string(),
  tag: z.string(),
  port: z.int(),
  boot: z.string(),
  owner: z.object({ pid: z.int().positive(), startedAt: z.string() }),
});
type ChildRecord = z.infer<typeof record>;

export interface RunningChild {
  readonly id: string;
  readonly pid: number;
  readonly port: number;
  readonly tag: string;
}

/** Notes `child` in `directory`; the returned function removes the note. */
export async function recordChild(directory: string, child: RunningChild): Promise<() => void> {
  const [facts, owner] = await Promise.all([processFacts(child.pid), processFacts(process.pid)]);
  if (facts === undefined) return () => {};
  const note: ChildRecord = {
    ...child,
    startedAt: facts.startedAt,
    command: facts.command,
    boot: bootId(),
    owner: { pid: process.pid, startedAt: owner?.startedAt ?? "" },
  };
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const file = join(directory, `${process.pid}-${child.pid}.json`);
  writeFileSync(file, JSON.stringify(note), { mode: 0o600 });
  return () => rmSync(file, { force: true });
}

export interface SweptChild {
  readonly id: string;
  readonly pids: readonly number[];
}

/** How long SIGKILL may take to work, in ms. */
const KILL_MS = 5000;
const POLL_MS = 50;

/**
 * Ends what servers that no longer run left behind, as noted in `directory`. A process is ended only when its start
 * time and command line are those noted, or when it carries our tag: ids are used again. After `graceMs` it is killed.
 */
export async function sweepOrphans(directory: string, graceMs = 5000): Promise<readonly SweptChild[]> {
  const swept: SweptChild[] = [];
  for (const name of namesIn(directory)) {
    const file = join(directory, name);
    const note = readRecord(file);
    if (note !== undefined && (await isRunning(note.owner))) continue;
    if (note !== undefined && note.boot === bootId()) {
      const pids = await endOrphans(note, graceMs);
      if (pids.length > 0) swept.push({ id: note.id, pids });
    }
    rmSync(file, { force: true });
  }
  return swept;
}

async function endOrphans(note: ChildRecord, graceMs: number): Promise<readonly number[]> {
  const found = await orphansOf(note);
  for (const { pid } of found) signal(pid, "SIGTERM");
  await gone(found, graceMs);
  // Those that came since count too: a dying engine may start a helper.
  const left = [...(await stillRunning(found)), ...(await orphansOf(note))];
  for (const { pid } of left) signal(pid, "SIGKILL");
  await gone(left, KILL_MS);
  return found.map(({ pid }) => pid);
}

async function orphansOf(note: ChildRecord): Promise<readonly GroupMember[]> {
  const tagged = await Promise.all(processesWithEnv(`${TAG_VARIABLE}=${note.tag}`).map(processFacts));
  const members = await groupMembers(note.pid);
  const leader = members.find(({ pid }) => pid === note.pid);
  const isLeaderOurs =
    leader !== undefined && leader.startedAt === note.startedAt && isSameCommand(note, leader.command);
  // While the group lives its id is not given again: with the leader ours all of it is, and without a leader what
  // carries vLLM's titles is (they overwrite the environment).
  const ours = members.filter(
    ({ command }) => isLeaderOurs || (leader === undefined && command.startsWith("VLLM::")),
  );
  const all = [...ours, ...tagged].filter((each) => each !== undefined);
  return [...new Map(all.map((each) => [each.pid, each])).values()];
}

async function gone(processes: readonly GroupMember[], limitMs: number): Promise<void> {
  const until = performance.now() + limitMs;
  while ((await stillRunning(processes)).length > 0 && performance.now() < until) await pause(POLL_MS);
}

async function stillRunning(processes: readonly GroupMember[]): Promise<readonly GroupMember[]> {
  const now = await Promise.all(processes.map(({ pid }) => processFacts(pid)));
  return processes.filter(({ startedAt }, i) => now[i]?.startedAt === startedAt);
}

/** Engines that set a title hide their command line. */
function isSameCommand(note: ChildRecord, command: string): boolean {
  return command === note.command || command.startsWith("VLLM::");
}

async function isRunning(owner: ChildRecord["owner"]): Promise<boolean> {
  const facts = await processFacts(owner.pid);
  return facts !== undefined && facts.startedAt === owner.startedAt;
}

function readRecord(file: string): ChildRecord | undefined {
  try {
    return record.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch {
    return undefined; // Cut off by a crash, or not ours: nothing can be known of it.
  }
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory).filter((name) => /^\d+-\d+\.json$/.test(name));
  } catch {
    return []; // Nothing was ever noted.
  }
}

/** Start times count from boot, and ids begin anew. */
function bootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return ""; // Not Linux: start times are dates there.
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It ended by itself.
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
