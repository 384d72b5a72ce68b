import { startSluice } from "../harness/sluice.ts";
import type { RunningServer } from "./suites.ts";

export interface ServerFlags {
  readonly url?: string;
  readonly pid?: number;
}

/**
 * Gives `use` the server that was named, or the demo model in a process of its own, which is stopped by its process id
 * in the end: also when this process is told to end.
 */
export async function withServer<T>(
  { url, pid }: ServerFlags,
  use: (server: RunningServer) => Promise<T>,
): Promise<T> {
  if (url !== undefined) return await use({ url: url.replace(/\/(v1\/?)?$/, ""), pid });
  const sluice = await startSluice(["--model", "demo"], { SLUICE_LOG_LEVEL: "warn" });
  const { child } = sluice;
  const stop = () => void child.kill("SIGTERM");
  const leave = () => process.exit(143);
  process.once("exit", stop).once("SIGTERM", leave);
  process.stderr.write(`a server for the tests: ${sluice.url}, process ${child.pid}\n`);
  try {
    return await use({ url: sluice.url, pid: child.pid });
  } finally {
    process.off("exit", stop).off("SIGTERM", leave);
    stop();
    await sluice.ended;
  }
}
