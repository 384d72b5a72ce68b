import { writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { openStore } from "../../runtime-node/ledger/open-store.ts";
import { parseConfig } from "../../shared/config.ts";
import { startSluice } from "../harness/sluice.ts";
import type { OpenSite } from "./site.ts";

const ignore = () => {};
const SILENT = { debug: ignore, info: ignore, warn: ignore, error: ignore };

/** The command as a user runs it, with its SQLite ledger. */
export const openHost: OpenSite = async (config, folder) => {
  const port = await freePort();
  const raw = { ...config, host: "127.0.0.1", port, ledger: { path: join(folder, "ledger.db") } };
  const file = join(folder, "sluice.yaml");
  writeFileSync(file, JSON.stringify(raw));
  return {
    async start() {
      const server = await startSluice(["--config", file, "--port", String(port)]);
      return {
        baseURL: `${server.url}/v1`,
        async kill() {
          server.child.kill("SIGKILL");
          await server.ended;
        },
        async stop() {
          server.child.kill("SIGTERM");
          const code = await server.ended;
          if (code !== 0) throw new Error(`The server ended with ${code}: ${server.output()}`);
        },
      };
    },
    async withStore(work) {
      const store = await openStore(parseConfig(raw, {}), SILENT);
      try {
        return await work(store);
      } finally {
        await store.close();
      }
    },
  };
};

function freePort(): Promise<number> {
  const probe = createServer();
  return new Promise((resolve) => {
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}
