import { spawn } from "node:child_process";
import { once } from "node:events";
import { freePort } from "../../runtime-node/engines/process-child.ts";
import { findServer, type Unable, unprivileged } from "./debian.ts";

export const REDIS_PASSWORD = "sluice-test-redis-password";

export interface RedisServer {
  readonly url: string;
  close(): Promise<void>;
}

/** A Redis (or Valkey) server of this test file's own, on loopback, that writes nothing to disk. */
export async function startRedis(port?: number): Promise<RedisServer | Unable> {
  const program = await findServer("redis-server");
  if (typeof program !== "string") return program;
  const listens = port ?? (await freePort());
  const settings = ["--port", String(listens), "--bind", "127.0.0.1", "--requirepass", REDIS_PASSWORD];
  const child = spawn(program, [...settings, "--save", "", "--appendonly", "no"], {
    ...unprivileged(),
    cwd: "/",
    stdio: ["ignore", "pipe", "inherit"],
  });
  const leave = () => child.kill("SIGKILL");
  process.once("exit", leave);
  await new Promise<void>((resolve, reject) => {
    child.stdout.on("data", (text: Buffer) => {
      if (text.includes("Ready to accept connections")) resolve();
    });
    child.once("exit", (code) => reject(new Error(`Redis ended with ${code} on port ${listens}`)));
  });
  return {
    url: `redis://:${REDIS_PASSWORD}@127.0.0.1:${listens}`,
    close: async () => {
      process.off("exit", leave);
      if (child.exitCode !== null) return;
      child.kill("SIGTERM");
      await once(child, "exit");
    },
  };
}
