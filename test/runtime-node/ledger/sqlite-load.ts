import { once } from "node:events";
import { createInterface } from "node:readline";
import { createSqliteStore } from "../../../runtime-node/ledger/sqlite.ts";
import { completed, holdOf, usage } from "../../contracts/ledger-fixtures.ts";
import { createLogSpy } from "../../harness/log-spy.ts";

/**
 * A process that serves requests against a ledger's file from the first line it is told until the second one, or until
 * it is killed. It writes `ready`, then a line for each receipt once it has it.
 */
const [path = "", name = ""] = process.argv.slice(2);
const store = createSqliteStore({ path, now: Date.now, log: createLogSpy() });
let isOver = false;
const told = createInterface({ input: process.stdin });
process.stdout.write("ready\n");
await once(told, "line");
told.once("line", () => {
  isOver = true;
});

async function serve(place: number): Promise<void> {
  for (let i = 0; !isOver; i++) {
    const hold = holdOf({ requestId: `${name}-${place}-${i}`, scopes: [{ name: "account", limits: {} }] });
    const held = await store.ledger.hold(hold);
    if (!held.ok) return;
    await store.ledger.checkpoint(hold, { usage: usage(3, 0), source: "engine" });
    const { requestId } = await store.ledger.settle(hold, completed(usage(3, 2)));
    process.stdout.write(`${requestId}\n`);
  }
}

await Promise.all(Array.from({ length: 8 }, (_, place) => serve(place)));
await store.close();
process.stdin.destroy();
