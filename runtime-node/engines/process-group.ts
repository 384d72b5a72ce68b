import { execFile } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** A process group: the child, which leads it, and everything the child started. */

export interface GroupMember {
  readonly pid: number;
  /** Tells this process from a later one with the same id. */
  readonly startedAt: string;
  readonly command: string;
}

const isWindows = process.platform === "win32";
const isLinux = process.platform === "linux";

/** Signals the whole group. False when nobody is left in it. */
export function signalGroup(leader: number, signal: NodeJS.Signals): boolean {
  if (isWindows) {
    const force = signal === "SIGKILL" ? ["/f"] : [];
    execFile("taskkill", ["/pid", String(leader), "/t", ...force], () => {});
    return true;
  }
  try {
    process.kill(-leader, signal);
    return true;
  } catch (error) {
    return codeOf(error) === "EPERM";
  }
}

/** The members that run; zombies are gone but for their parent's word. */
export async function groupMembers(leader: number): Promise<readonly GroupMember[]> {
  if (isLinux) return linuxProcesses().filter(({ group }) => group === leader);
  if (isWindows) return [];
  const { stdout } = await run("ps", ["-A", "-o", "pid=,pgid=,stat=,lstart=,command="]);
  return stdout.split("\n").flatMap((line) => {
    const match = /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(\w+ +\w+ +\d+ [\d:]+ \d+)\s+(.*)$/.exec(line);
    const [, pid, group, state, startedAt, command] = match ?? [];
    if (group !== String(leader) || state?.startsWith("Z") !== false) return [];
    return [{ pid: Number(pid), startedAt: startedAt ?? "", command: command ?? "" }];
  });
}

/** Of one process; undefined when it is gone. */
export async function processFacts(pid: number): Promise<GroupMember | undefined> {
  if (isLinux) return linuxProcess(pid);
  if (isWindows) return isAlive(pid) ? { pid, startedAt: "", command: "" } : undefined;
  const { stdout } = await run("ps", ["-p", String(pid), "-o", "stat=,lstart=,command="]);
  const match = /^\s*(\S+)\s+(\w+ +\w+ +\d+ [\d:]+ \d+)\s+(.*)$/m.exec(stdout);
  const [, state, startedAt = "", command = ""] = match ?? [];
  return state === undefined || state.startsWith("Z") ? undefined : { pid, startedAt, command };
}

/** Processes that carry `entry` (`NAME=value`) in their environment, whatever group they went to. Linux only. */
export function processesWithEnv(entry: string): readonly number[] {
  if (!isLinux) return [];
  return linuxProcesses()
    .filter(({ pid }) => readOr(`/proc/${pid}/environ`, "").split("\0").includes(entry))
    .map(({ pid }) => pid);
}

/** Whether a process of the group listens on the loopback port; undefined where the system doesn't tell. */
export function listensOn(leader: number, port: number): boolean | undefined {
  if (!isLinux) return undefined;
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  const tables = ["/proc/net/tcp", "/proc/net/tcp6"].map((path) => readOr(path, ""));
  const sockets = new Set(
    tables
      .flatMap((table) => table.split("\n"))
      .map((line) => line.trim().split(/\s+/))
      .filter((fields) => fields[1]?.endsWith(`:${hex}`) === true && fields[3] === "0A")
      .map((fields) => `socket:[${fields[9]}]`),
  );
  if (sockets.size === 0) return undefined;
  return linuxProcesses()
    .filter(({ group }) => group === leader)
    .some(({ pid }) => openFiles(pid).some((file) => sockets.has(file)));
}

function openFiles(pid: number): readonly string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).map((name) => readLinkOr(`/proc/${pid}/fd/${name}`));
  } catch {
    return []; // It ended while we looked.
  }
}

interface LinuxProcess extends GroupMember {
  readonly group: number;
}

function linuxProcesses(): readonly LinuxProcess[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => linuxProcess(Number(name)) ?? []);
}

/** proc(5): the name in parentheses may hold anything; after it come state, parent, group … and, 22nd, the start time. */
function linuxProcess(pid: number): LinuxProcess | undefined {
  const stat = readOr(`/proc/${pid}/stat`, "");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [state, , group] = fields;
  if (stat === "" || state === "Z" || state === "X") return undefined;
  const command = readOr(`/proc/${pid}/cmdline`, "").replaceAll("\0", " ").trim();
  return { pid, group: Number(group), startedAt: fields[19] ?? "", command };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === "EPERM";
  }
}

function readOr(path: string, otherwise: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return otherwise; // Processes end while they are looked at, and some aren't ours to read.
  }
}

function readLinkOr(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return ""; // As above.
  }
}

function run(command: string, args: readonly string[]): Promise<{ readonly stdout: string }> {
  return new Promise((resolve) => {
    execFile(command, [...args], { timeout: 5000 }, (_error, stdout) => resolve({ stdout }));
  });
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}
