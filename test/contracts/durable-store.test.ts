import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { durableStore } from "../harness/durable-store.ts";
import { type Edge, startEdge } from "../harness/edge.ts";
import { eventually } from "../harness/wire.ts";
import { booksContract } from "./books.ts";
import { directoryContract } from "./directory.ts";
import { ledgerContract } from "./ledger.ts";
import { completed, holdOf, type MakeStore, R1, reading, usage } from "./ledger-fixtures.ts";

// Each call goes through two servers: thousands of them, as the random ones are, take a while on a busy machine.
vi.setConfig({ testTimeout: 120_000 });

let storage: string;
let edge: Edge;
beforeAll(async () => {
  storage = await mkdtemp(join(tmpdir(), "sluice-objects-"));
  edge = await startEdge({}, {}, { entry: "./store-worker.ts", storage });
});
afterAll(async () => {
  await edge.close();
  await rm(storage, { recursive: true, force: true });
});

const makeStore: MakeStore = (setup) => durableStore({ url: edge.url, ...setup });
ledgerContract("the ledger of Durable Objects", makeStore);
booksContract("the books of Durable Objects", makeStore);
directoryContract("the directory of Durable Objects", makeStore);

describe("an account's object", () => {
  it("settles a lost request by its alarm, with nobody asking, also after workerd was killed", async () => {
    const { ledger, books } = durableStore({ url: edge.url });
    await ledger.hold(holdOf({ isPrepaid: false, leaseMs: 1000 }));
    await ledger.checkpoint(R1, reading(usage(3, 2)));
    await edge.restart();
    await eventually(async () =>
      expect(await books.receipt(R1)).toMatchObject({ outcome: "lost", usage: usage(3, 2) }),
    );
  });

  it("tells webhooks by its alarm, and again where they did not listen", async () => {
    const { ledger, books } = durableStore({ url: edge.url, webhooks: ["deaf"] });
    await ledger.hold(holdOf({ isPrepaid: false }));
    await ledger.settle(R1, completed(usage(3, 2)));
    await eventually(async () => expect(await books.due(Number.MAX_SAFE_INTEGER, 1)).toEqual([]));
  });
});
