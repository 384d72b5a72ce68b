import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { createPostgresStore } from "../../runtime-node/ledger/postgres.ts";
import { createSqliteStore } from "../../runtime-node/ledger/sqlite.ts";
import type { Store } from "../../shared/store.ts";
import { startHost } from "../harness/host.ts";
import { createLogSpy } from "../harness/log-spy.ts";
import { startPostgres } from "../harness/postgres.ts";
import { startUpstream } from "../harness/upstream.ts";
import { chat, eventually } from "../harness/wire.ts";
import { letInFifty } from "./fifty.ts";

const KEY = { id: "pre-key", key: "sk-slc-prepaid-key-of-a-test", account: "pre" };
/** A tenth of a cent a completion token, and prompts are free: four are held at most, two are made. */
const PRICE = { prompt: 0, completion: 1000 };
const ASK = chat("x", { model: "counted", max_tokens: 4 });
const HELD_NANO = 4_000_000;
const COST_NANO = 2_000_000;

const log = createLogSpy();
const folder = mkdtempSync(join(tmpdir(), "sluice-money-"));
const postgres = await startPostgres();
if ("unable" in postgres) console.log(`Money in Postgres is not tested: ${postgres.unable}`);
afterAll(async () => {
  if ("close" in postgres) await postgres.close();
  rmSync(folder, { recursive: true, force: true });
});

describe("money on the host", () => {
  it("in SQLite lets in of 200 requests at once exactly the 50 that the balance covers", async () => {
    await askAtOnce(createSqliteStore({ path: join(folder, "ledger.db"), now: Date.now, log }));
  });

  it.skipIf("unable" in postgres)("in Postgres lets in exactly those 50 too", async () => {
    if ("unable" in postgres) return;
    await askAtOnce(await createPostgresStore({ url: postgres.url("money"), webhooks: [], log }));
  });
});

/** 200 clients of a host with that store, and a balance that covers 50 of them. */
async function askAtOnce(store: Store): Promise<void> {
  await store.ledger.credit("pre", { id: "fifty", amountNanoUsd: 50 * HELD_NANO });
  const upstream = await startUpstream();
  const host = await startHost({
    store,
    config: {
      keys: [KEY],
      accounts: [{ id: "pre", prepaid: true }],
      backends: [{ id: "b", url: upstream.url, models: [{ id: "counted", price: PRICE }] }],
    },
  });
  try {
    await letInFifty(upstream, () =>
      fetch(`${host.baseURL}/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json", authorization: `Bearer ${KEY.key}` },
        body: JSON.stringify(ASK),
      }),
    );
    await eventually(async () =>
      expect(await store.ledger.balance("pre")).toEqual({
        creditedNanoUsd: 50 * HELD_NANO,
        availableNanoUsd: 50 * (HELD_NANO - COST_NANO),
        heldNanoUsd: 0,
        spentNanoUsd: 50 * COST_NANO,
      }),
    );
    expect(await store.books.verify()).toEqual([]);
  } finally {
    await host.close();
    await upstream.close();
  }
}
