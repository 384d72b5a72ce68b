import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chown, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { freePort } from "../../runtime-node/engines/process-child.ts";
import { findServer, type Unable, unprivileged } from "./debian.ts";

export const POSTGRES_PASSWORD = "sluice-test-password";

export interface PostgresServer {
  /** Of a schema of its own, made by whoever asks first. */
  url(schema: string): string;
  /** Ends the server as a crash does, and waits until it is gone. */
  kill(): Promise<void>;
  /** Once it is gone: with the same data, at the same place; accepts connections when it resolves. */
  start(): Promise<void>;
  close(): Promise<void>;
}

/** A Postgres server of this test file's own, on loopback, not durable: only its tests know of it. */
export async function startPostgres(): Promise<PostgresServer | Unable> {
  const initdb = await findServer("initdb");
  if (typeof initdb !== "string") return initdb;
  const root = await mkdtemp(join(tmpdir(), "sluice-postgres-"));
  const user = unprivileged();
  if (user !== undefined) await chown(root, user.uid, user.gid);
  const passwordFile = join(root, "password");
  await writeFile(passwordFile, POSTGRES_PASSWORD);
  const dataFolder = join(root, "data");
  const wanted = ["-D", dataFolder, "-U", "sluice", "-A", "md5", "--pwfile", passwordFile];
  await promisify(execFile)(initdb, [...wanted, "-E", "UTF8", "--locale=C", "--no-sync"], {
    ...user,
    cwd: root,
  });
  const port = await freePort();
  const settings = [
    `port=${port}`,
    "listen_addresses=127.0.0.1",
    `unix_socket_directories=${root}`,
    "fsync=off",
    "autovacuum=off",
    "max_connections=100",
    "shared_buffers=16MB",
  ].flatMap((setting) => ["-c", setting]);
  let child: ChildProcess | undefined;
  const launch = (): Promise<boolean> => {
    const postgres = join(dirname(initdb), "postgres");
    const launched = spawn(postgres, ["-D", dataFolder, ...settings], {
      ...user,
      cwd: root,
      stdio: ["ignore", "ignore", "pipe"],
    });
    child = launched;
    return new Promise((resolve) => {
      launched.stderr.on("data", (text: Buffer) => {
        if (text.includes("ready to accept connections")) resolve(true);
      });
      launched.once("exit", () => resolve(false));
    });
  };
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    await once(child, "exit");
  };
  const leave = () => child?.kill("SIGKILL");
  process.once("exit", leave);

  const server: PostgresServer = {
    url: (schema) =>
      `postgres://sluice:${POSTGRES_PASSWORD}@127.0.0.1:${port}/postgres?search_path=${schema}`,
    kill: () => end("SIGKILL"),
    start: async () => {
      // After a crash it refuses to start until the last of its processes has noticed.
      for (let tries = 0; tries < 200; tries += 1) if (await launch()) return;
      throw new Error(`Postgres didn't start on port ${port}`);
    },
    close: async () => {
      await end("SIGINT");
      process.off("exit", leave);
      await rm(root, { recursive: true, force: true });
    },
  };
  await server.start();
  return server;
}
