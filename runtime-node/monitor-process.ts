import type { MachineEffects } from "./probe-effects.ts";

/** A process and all it started, together: an engine may be a child, and npm stands before Node. */
export interface ProcessReading {
  readonly cpuMs: number;
  /** Of the process itself. */
  readonly uptimeMs: number;
  /** What several of them share counts in each. */
  readonly rssBytes: number;
}

export interface ProcessLoad {
  /** Of one CPU. */
  readonly cpuPercent: number;
  readonly rssBytes: number;
}

/** proc(5) counts time in these: 100 a second on every Linux, whatever the kernel's own tick (USER_HZ). */
const TICK_MS = 10;

/** From /proc; undefined when the process has ended. */
export function processOfProc(readText: MachineEffects["readText"], pid: number): ProcessReading | undefined {
  const own = ticksOf(readText(`/proc/${pid}/stat`));
  const [uptimeSeconds] = (readText("/proc/uptime") ?? "").split(" ", 1);
  if (own === undefined || uptimeSeconds === undefined) return undefined;
  let [ticks, rssBytes] = [0, 0];
  for (const member of familyOf(readText, pid)) {
    ticks += ticksOf(readText(`/proc/${member}/stat`))?.busy ?? 0;
    const kib = /^VmRSS:\s*(\d+) kB$/m.exec(readText(`/proc/${member}/status`) ?? "")?.[1];
    rssBytes += Number(kib ?? 0) * 1024;
  }
  const uptimeMs = Number(uptimeSeconds) * 1000 - own.startedAt * TICK_MS;
  return { cpuMs: ticks * TICK_MS, uptimeMs, rssBytes };
}

/** Where there is no /proc: through the system's own tools, so not for every sample. Undefined when it has ended. */
export async function processElsewhere(pid: number): Promise<ProcessLoad | undefined> {
  const { processes } = await import("systeminformation");
  const { list } = await processes();
  const family = new Set<number>();
  const add = (member: number): void => {
    family.add(member);
    for (const child of list) if (child.parentPid === member && !family.has(child.pid)) add(child.pid);
  };
  add(pid);
  const members = list.filter((one) => family.has(one.pid));
  if (!members.some((one) => one.pid === pid)) return undefined;
  return {
    cpuPercent: members.reduce((sum, { cpu }) => sum + cpu, 0),
    rssBytes: members.reduce((sum, { memRss }) => sum + memRss * 1024, 0),
  };
}

/** The process and its descendants. A child counts under the thread that started it: in Node that is the main one. */
function familyOf(readText: MachineEffects["readText"], pid: number): readonly number[] {
  const children = (readText(`/proc/${pid}/task/${pid}/children`) ?? "").split(" ").filter((id) => id !== "");
  return [pid, ...children.flatMap((child) => familyOf(readText, Number(child)))];
}

/** The name, in brackets, may hold spaces and brackets itself; utime and stime are the 12th and 13th after it. */
function ticksOf(
  stat: string | undefined,
): { readonly busy: number; readonly startedAt: number } | undefined {
  if (stat === undefined) return undefined;
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return { busy: Number(fields[11]) + Number(fields[12]), startedAt: Number(fields[19]) };
}
