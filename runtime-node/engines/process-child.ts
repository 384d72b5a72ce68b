import { type ChildProcess, spawn } from "node:child_process";
import { createServer } from "node:net";
import { groupMembers, processesWithEnv, signalGroup } from "./process-group.ts";
import type { ProcessLog } from "./process-log.ts";
import { TAG_VARIABLE } from "./process-record.ts";

/** One run of an engine's program, in a process group of its own. */
export interface Child {
  /** Undefined where it never ran. */
  readonly pid: number | undefined;
  /** Marks it and its children in their environment. */
  readonly tag: string;
  /** Resolves when the leader is gone; never rejects. Pipes may still be held by its children. */
  readonly exited: Promise<ChildExit>;
  /** SIGTERM to the group, SIGKILL after `graceMs`; resolves when nothing of the group is left, or nothing can be done. */
  end(graceMs: number): Promise<Leftover>;
}

export interface ChildExit {
  readonly spawnError?: string;
  readonly exitCode?: number;
  readonly signal?: string;
}

export interface Leftover {
  /** SIGTERM was not enough. */
  readonly wasKilled: boolean;
  /** Processes that outlived SIGKILL: stuck in the kernel, as on a dead disk. */
  readonly pids: readonly number[];
}

export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  /** Added to what passes from our own environment. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string | undefined;
}

/** How long SIGKILL may take to work, in ms. */
const KILL_MS = 5000;
const POLL_MS = 20;
/** A grandchild may hold the pipes for ever: what comes later than this after the exit is not waited for, in ms. */
const PIPE_MS = 250;

/**
 * The groups that run. In groups of their own they would outlive a server that exits without a stop: at a second Ctrl-C, at
 * a start that fails, at a bug.
 */
const killAtExit = createKillAtExit();

export function startChild(command: Command, env: NodeJS.ProcessEnv, log: ProcessLog): Child {
  const tag = crypto.randomUUID();
  let child: ChildProcess;
  try {
    child = spawn(command.file, [...command.args], {
      cwd: command.cwd,
      env: { ...env, ...command.env, [TAG_VARIABLE]: tag },
      stdio: ["ignore", "pipe", "pipe"],
      // Its own group: a signal reaches all of it, and a terminal's Ctrl-C reaches none of it before our drain.
      detached: process.platform !== "win32",
      windowsHide: true,
    });
  } catch (thrown) {
    // Node throws what it doesn't emit: ENOTDIR, ENOMEM, E2BIG, a NUL in an argument.
    const exited = Promise.resolve({ spawnError: codeOf(thrown) });
    return { pid: undefined, tag, exited, end: async () => ({ wasKilled: false, pids: [] }) };
  }
  const { pid } = child;
  if (pid !== undefined) killAtExit.add(pid);
  const drained = drain(child, log);
  const exited = new Promise<ChildExit>((resolve) => {
    child.once("error", (error) => {
      if (pid === undefined) resolve({ spawnError: codeOf(error) });
    });
    child.once("exit", async (code, signal) => {
      await Promise.race([drained, pause(PIPE_MS)]);
      log.flush();
      resolve({
        ...(code === null ? {} : { exitCode: code }),
        ...(signal === null ? {} : { signal }),
      });
    });
  });

  async function left(): Promise<readonly number[]> {
    if (pid === undefined) return [];
    const members = await groupMembers(pid);
    return [
      ...new Set([...members.map((member) => member.pid), ...processesWithEnv(`${TAG_VARIABLE}=${tag}`)]),
    ];
  }

  async function gone(limitMs: number): Promise<readonly number[]> {
    const until = performance.now() + limitMs;
    for (;;) {
      const pids = await left();
      if (pids.length === 0 || performance.now() >= until) return pids;
      await pause(POLL_MS);
    }
  }

  async function end(graceMs: number): Promise<Leftover> {
    if (pid === undefined) return { wasKilled: false, pids: [] };
    signalGroup(pid, "SIGTERM");
    // A stopped process takes SIGTERM only once it goes on.
    signalGroup(pid, "SIGCONT");
    const isSlow = (await gone(graceMs)).length > 0;
    if (isSlow) {
      signalGroup(pid, "SIGKILL");
      for (const each of await left()) kill(each);
    }
    const pids = isSlow ? await gone(KILL_MS) : [];
    // Gone for the system; Node hears of it a moment later.
    if (!pids.includes(pid)) await exited;
    child.stdout?.destroy();
    child.stderr?.destroy();
    killAtExit.delete(pid);
    return { wasKilled: isSlow, pids };
  }

  return { pid, tag, exited, end };
}

function createKillAtExit() {
  const leaders = new Set<number>();
  const killAll = () => {
    for (const leader of leaders) signalGroup(leader, "SIGKILL");
  };
  return {
    add(leader: number): void {
      if (leaders.size === 0) process.on("exit", killAll);
      leaders.add(leader);
    },
    delete(leader: number): void {
      leaders.delete(leader);
      if (leaders.size === 0) process.off("exit", killAll);
    },
  };
}

/** A port on loopback that nobody listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("No port on loopback is free");
  return address.port;
}

/** What a child may see of our environment: tools and caches need these; keys and tokens of ours it does not. */
const PASSED =
  /^(PATH|HOME|USER|LOGNAME|SHELL|LANG|LC_\w+|TZ|TMPDIR|TEMP|TMP|XDG_\w+|LD_LIBRARY_PATH|LD_PRELOAD|DYLD_\w+|VIRTUAL_ENV|CONDA_\w+|PYTHON(PATH|HOME)|CUDA_\w+|NVIDIA_\w+|NCCL_\w+|GLOO_\w+|HIP_\w+|ROCR?_\w+|HSA_\w+|OMP_\w+|MKL_\w+|KMP_\w+|RAY_\w+|VLLM_(?!API_KEY)\w+|MLX_\w+|LLAMA_ARG_(?!API_KEY)\w+|GGML_\w+|HF_\w+|HUGGINGFACE_HUB_CACHE|TRANSFORMERS_\w+|TORCH_\w+|PYTORCH_\w+|TRITON_\w+|(https?|no|all)_proxy|SSL_CERT_\w+|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|SYSTEMROOT|WSL\w*|USERPROFILE|APPDATA|LOCALAPPDATA)$/i;

export function childEnvironment(own: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(own).filter(([name]) => PASSED.test(name)));
}

function drain(child: ChildProcess, log: ProcessLog): Promise<unknown> {
  const streams = [child.stdout, child.stderr].filter((stream) => stream !== null);
  return Promise.all(
    streams.map((stream) => {
      // Always read: a full pipe would stop the engine.
      stream.setEncoding("utf8").on("data", (piece: string) => log.write(piece));
      return new Promise((resolve) => stream.once("close", resolve));
    }),
  );
}

/** Node's code of a failed spawn, or its words where it has none. */
function codeOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  return "code" in thrown ? String(thrown.code) : thrown.message;
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended by itself.
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
