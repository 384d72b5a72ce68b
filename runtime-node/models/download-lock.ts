import { randomUUID } from "node:crypto";
import { mkdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

const HEARTBEAT_MS = 5_000;
/** Six missed heartbeats: the holder is gone, or its machine is. */
const STALE_MS = 30_000;
const POLL_MS = 250;

/**
 * Waits until no other process holds the lock file at `path`, then holds it until disposed of. A lock whose process
 * has died is taken over. Rejects with the signal's reason when aborted.
 */
export async function holdLock(path: string, signal: AbortSignal | undefined): Promise<AsyncDisposable> {
  await mkdir(dirname(path), { recursive: true });
  const owner = JSON.stringify({ pid: process.pid, host: hostname(), id: randomUUID() });
  for (;;) {
    signal?.throwIfAborted();
    if (await create(path, owner)) break;
    if (await isStale(path)) await takeAway(path);
    else await delay(POLL_MS, undefined, signal === undefined ? {} : { signal });
  }
  const heartbeat = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => {}); // taken over while this machine slept: the hash decides
  }, HEARTBEAT_MS);
  heartbeat.unref();
  return {
    async [Symbol.asyncDispose]() {
      clearInterval(heartbeat);
      if ((await readFile(path, "utf8").catch(() => "")) === owner) await rm(path, { force: true });
    },
  };
}

async function create(path: string, owner: string): Promise<boolean> {
  try {
    await writeFile(path, owner, { flag: "wx" });
    return true;
  } catch (error) {
    if (codeOf(error) === "EEXIST") return false;
    throw error;
  }
}

async function isStale(path: string): Promise<boolean> {
  try {
    const [{ mtimeMs }, text] = await Promise.all([stat(path), readFile(path, "utf8")]);
    if (Date.now() - mtimeMs > STALE_MS) return true;
    const { pid, host } = readOwner(text);
    return host === hostname() && pid !== undefined && !isAlive(pid);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return false; // just released
    throw error;
  }
}

/** Renamed first, so that of two that see it stale only one removes it. */
async function takeAway(path: string): Promise<void> {
  const aside = `${path}.${randomUUID()}`;
  try {
    await rename(path, aside);
    await rm(aside, { force: true });
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error;
  }
}

function readOwner(text: string): { pid?: number; host?: string } {
  try {
    return JSON.parse(text);
  } catch {
    return {}; // being written: its age decides
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === "EPERM"; // someone else's process
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error ? Reflect.get(error, "code") : undefined;
}
