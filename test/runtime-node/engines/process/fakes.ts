import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach } from "vitest";
import {
  createEngineProcess,
  type EngineProcess,
  type ProcessOptions,
} from "../../../../runtime-node/engines/process.ts";
import { processFacts } from "../../../../runtime-node/engines/process-group.ts";
import { type Fake, fakeCommand } from "./fake-command.ts";

export interface FakeProcess extends EngineProcess {
  /** Asks the running fake: its work thread to die, its socket to close. */
  tell(path: string): Promise<void>;
  chat(body?: Record<string, unknown>): Promise<Response>;
  readonly logged: string[];
  /** The fakes of the next starts. */
  become(fake: Fake): void;
}

/** Limits at which nothing waits for long; a test states the ones it is about. */
const FAST = {
  startTimeoutMs: 5000,
  pollMs: 10,
  pingTimeoutMs: 500,
  stopMs: 2000,
  hungStopMs: 100,
  canaryMs: 20,
  canaryTimeoutMs: 150,
  misses: 2,
  tokenGapMs: 60,
};

export interface FakeOptions {
  readonly limits?: ProcessOptions["limits"];
  readonly backoff?: ProcessOptions["backoff"];
  readonly command?: ProcessOptions["command"];
  readonly isFatal?: ProcessOptions["isFatal"];
  readonly progressOf?: ProcessOptions["progressOf"];
  readonly secrets?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly stateDir?: string;
}

const made: EngineProcess[] = [];
export const stateDir = mkdtempSync(join(tmpdir(), "sluice-process-"));

afterEach(async () => {
  await Promise.all(made.splice(0).map((each) => each.close()));
});

export function removeStateDir(): void {
  rmSync(stateDir, { recursive: true, force: true });
}

export function fakeProcess(first: Fake = {}, options: FakeOptions = {}): FakeProcess {
  let fake = first;
  const logged: string[] = [];
  const write = (message: string, fields?: unknown) =>
    void logged.push(`${message} ${JSON.stringify(fields)}`);
  const engine = createEngineProcess({
    id: "fake",
    command: options.command ?? ((port) => fakeCommand(fake, port)),
    ping: async (port, signal) => answered(await fetch(`http://127.0.0.1:${port}/health`, { signal })),
    probe: async (port, signal) => answered(await chatAt(port, { max_tokens: 1 }, signal)),
    stateDir: options.stateDir ?? stateDir,
    env: options.env ?? process.env,
    log: { debug: write, info: write, warn: write, error: write },
    limits: { ...FAST, ...options.limits },
    backoff: { baseMs: 1, ...options.backoff },
    ...(options.isFatal === undefined ? {} : { isFatal: options.isFatal }),
    ...(options.progressOf === undefined ? {} : { progressOf: options.progressOf }),
    ...(options.secrets === undefined ? {} : { secrets: options.secrets }),
  });
  made.push(engine);
  const port = () => {
    const { port } = engine.status();
    if (port === undefined) throw new Error("The fake does not run");
    return port;
  };
  return {
    ...engine,
    logged,
    tell: async (path) => answered(await fetch(`http://127.0.0.1:${port()}${path}`)),
    chat: (body = {}) => chatAt(port(), body),
    become: (next) => {
      fake = next;
    },
  };
}

function chatAt(port: number, body: Record<string, unknown>, signal?: AbortSignal): Promise<Response> {
  return fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
    method: "POST",
    body: JSON.stringify({ model: "m", messages: [], ...body }),
    ...(signal === undefined ? {} : { signal }),
  });
}

async function answered(response: Response): Promise<void> {
  await response.text();
  if (!response.ok) throw new Error(`status ${response.status}`);
}

/** Whether the process runs; a zombie doesn't. */
export async function isAlive(pid: number): Promise<boolean> {
  return (await processFacts(pid)) !== undefined;
}
