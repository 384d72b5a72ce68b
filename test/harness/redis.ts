import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { freePort } from "../../runtime-node/engines/process-child.ts";
import { findServer, type Unable, unprivileged } from "./debian.ts";

export const REDIS_PASSWORD = "sluice-test-redis-password";

export interface RedisServer {
  readonly url: string;
  stop(): Promise<void>;
  /** Once it is stopped: at the same place, empty. */
  start(): Promise<void>;
  close(): Promise<void>;
}

/** A Redis (or Valkey) server of this test file's own, on loopback, that writes nothing to disk. */
export async function startRedis(): Promise<RedisServer | Unable> {
  const program = await findServer("redis-server");
  if (typeof program !== "string") return program;
  const port = await freePort();
  const settings = ["--port", String(port), "--bind", "127.0.0.1", "--requirepass", REDIS_PASSWORD];
  let child: ChildProcess | undefined;
  const start = async (): Promise<void> => {
    const launched = spawn(program, [...settings, "--save", "", "--appendonly", "no"], {
      ...unprivileged(),
      cwd: "/",
      stdio: ["ignore", "pipe", "inherit"],
    });
    child = launched;
    await new Promise<void>((resolve, reject) => {
      launched.stdout.on("data", (text: Buffer) => {
        if (text.includes("Ready to accept connections")) resolve();
      });
      launched.once("exit", (code) => reject(new Error(`Redis ended with ${code} on port ${port}`)));
    });
  };
  const stop = async (): Promise<void> => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  };
  const leave = () => child?.kill("SIGKILL");
  process.once("exit", leave);
  await start();
  return {
    url: `redis://:${REDIS_PASSWORD}@127.0.0.1:${port}`,
    stop,
    start,
    close: async () => {
      process.off("exit", leave);
      await stop();
    },
  };
}
