import { setTimeout as pause } from "node:timers/promises";
import { durableStore } from "../harness/durable-store.ts";
import { startEdge } from "../harness/edge.ts";
import type { OpenSite } from "./site.ts";

const QUIET_MS = 1000;

/** The Worker in workerd, with its Durable Objects. */
export const openEdge: OpenSite = async (config, folder) => {
  const ADMIN = "sk-admin-of-the-chaos";
  const raw = { ...config, admin: { key: ADMIN }, log: { level: "error" } };
  return {
    async start() {
      const edge = await startEdge(raw, {}, { storage: folder });
      let closing: Promise<void> | undefined;
      const close = (): Promise<void> => {
        closing ??= edge.close();
        return closing;
      };
      /** What is held by requests on their way, and by those that a killed workerd left. */
      const held = async (): Promise<string> => {
        const headers = { authorization: `Bearer ${ADMIN}` };
        const response = await fetch(`${edge.baseURL}/admin/accounts/chaos`, { headers });
        const { balance } = (await response.json()) as { balance: { held_usd: string } }; // As admin.ts has it.
        return balance.held_usd;
      };
      return {
        baseURL: edge.baseURL,
        kill: close,
        async stop() {
          // A Worker has no end to wait for: it has settled all that it will once nothing is freed any more.
          for (let last = "", now = await held(); now !== last; last = now, now = await held())
            await pause(QUIET_MS);
          await close();
        },
      };
    },
    async withStore(work) {
      const edge = await startEdge({}, {}, { entry: "./store-worker.ts", storage: folder });
      try {
        return await work(durableStore({ url: edge.url, scope: "" }));
      } finally {
        await edge.close();
      }
    },
  };
};
