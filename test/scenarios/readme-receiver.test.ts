import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { deliverDue } from "../../functions/webhooks.ts";
import { createSqliteStore } from "../../runtime-node/ledger/sqlite.ts";
import { createTransport } from "../../runtime-node/transport.ts";
import { bill } from "../harness/billing.ts";
import { eventually } from "../harness/wire.ts";

const secret = "the-secret-of-the-README's-receiver";

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo; // It listens on TCP.
  await new Promise((resolve) => server.close(resolve));
  return port;
}

it.each(["README.md", "README.zh-CN.md"])(
  "the webhook receiver of %s bills each receipt once",
  async (name) => {
    const readme = await readFile(new URL(`../../${name}`, import.meta.url), "utf8");
    const code = /```ts\n(import \{ createHmac[\s\S]*?)```/.exec(readme)?.[1] ?? "";
    expect(code.trim().split("\n").length).toBeLessThanOrEqual(20);
    const port = await freePort();
    const file = join(await mkdtemp(join(tmpdir(), "sluice-receiver-")), "receiver.mts");
    await writeFile(file, code.replace("9000", String(port)));
    const env = { ...process.env, WEBHOOK_SECRET: secret };
    const receiver = spawn(process.execPath, [file], { env, stdio: ["ignore", "pipe", "inherit"] });
    let output = "";
    receiver.stdout.on("data", (chunk: Buffer) => {
      output += chunk;
    });

    const { transport: send, close } = createTransport(1000);
    const quiet = () => {};
    const log = { debug: quiet, info: quiet, warn: quiet, error: quiet };
    const store = createSqliteStore({ path: ":memory:", now: Date.now, webhooks: ["payments"], log });
    const post = (signedWith: string) =>
      deliverDue({
        books: store.books,
        webhooks: [{ id: "payments", url: `http://127.0.0.1:${port}`, secret: signedWith }],
        send,
        clock: { now: Date.now, monotonic: () => performance.now() },
        log,
      });
    const url = `http://127.0.0.1:${port}`;
    await eventually(async () => expect((await fetch(url, { method: "POST" })).status).toBe(401));

    await bill(store);
    await bill(store);
    const deliveries = await store.books.due(Date.now(), 10);
    await post("a-secret-that-the-receiver-has-not");
    expect(output).toBe("");
    for (const delivery of deliveries) await store.books.postpone(delivery, Date.now());
    await post(secret);
    expect(await store.books.due(Number.MAX_SAFE_INTEGER, 10)).toEqual([]);
    await eventually(async () => expect(output).toBe("bill acme: $0.0002\nbill acme: $0.0002\n"));

    receiver.kill();
    await once(receiver, "close");
    await close();
    await store.close();
  },
);
