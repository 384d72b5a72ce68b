import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, it } from "vitest";
import { dataHome, runSluice, startSluice } from "../harness/sluice.ts";

/** One command to its end, on the ledger in `home`. */
async function run(home: string, ...args: readonly string[]) {
  const { child, ended } = runSluice(args, { XDG_DATA_HOME: home });
  let stdout = "";
  child.stdout?.on("data", (chunk: Buffer) => {
    stdout += chunk;
  });
  return { code: await ended, stdout };
}

it("makes keys beside a running server, which closes to everybody else, and revokes them", async () => {
  const home = dataHome();
  const server = await startSluice(["--engine", "dummy"], { XDG_DATA_HOME: home });
  expect(server.output()).toMatch(/warning .*whoever reaches this port may use it/);
  const ask = async (key?: string) =>
    (await fetch(`${server.url}/v1/models`, key === undefined ? {} : { headers: { "api-key": key } })).status;
  expect(await ask()).toBe(200);

  // Alone, so that a script can read it.
  const { stdout } = await run(home, "keys", "create", "--account", "acme");
  expect(stdout).toMatch(/^sk-slc-[A-Za-z0-9]{43}\n$/);
  const key = stdout.trim();
  expect(await ask(key)).toBe(200);
  await expect.poll(() => ask(), { timeout: 10_000 }).toBe(401);

  const listed = await run(home, "keys", "list");
  const [, id = ""] =
    listed.stdout.match(new RegExp(`(key_\\w+) +${key.slice(-4)} +acme +all .*active`)) ?? [];
  expect(listed.stdout).not.toContain(key);
  expect(await run(home, "keys", "revoke", id)).toMatchObject({ code: 0 });
  expect(await ask(key)).toBe(401);
  expect(await ask()).toBe(401);

  server.child.kill("SIGTERM");
  expect(await server.ended).toBe(0);
  expect(server.output()).not.toContain(key);
  for (const file of await readdir(join(home, "sluice"))) {
    const bytes = await readFile(join(home, "sluice", file), "latin1");
    expect(bytes).not.toContain(key);
    if (file === "ledger.db") expect(bytes).toContain(createHash("sha256").update(key).digest("hex"));
  }
});

it("credits an account once for each id, and proves the books", async () => {
  const home = dataHome();
  await run(home, "accounts", "create", "acme", "--prepaid", "--rpm", "60", "--label", "plan=gold");
  await run(home, "accounts", "credit", "acme", "25", "--id", "invoice-1");
  const { stdout } = await run(home, "accounts", "credit", "acme", "25", "--id", "invoice-1", "--json");
  expect(JSON.parse(stdout)).toMatchObject({
    id: "acme",
    prepaid: true,
    limits: { requests_per_minute: 60 },
    labels: { plan: "gold" },
    balance: { available_usd: "25", credited_usd: "25" },
  });
  const verified = await run(home, "ledger", "verify");
  expect(verified).toEqual({ code: 0, stdout: "The ledger holds (accounts looked at: 1)\n" });

  const database = new DatabaseSync(join(home, "sluice", "ledger.db"));
  database.exec("UPDATE accounts SET credited = credited + 1");
  database.close();
  const broken = await run(home, "ledger", "verify");
  expect(broken.code).toBe(1);
  expect(broken.stdout).toMatch(/acme[\s\S]*The ledger does not hold \(breaches: \d/);
});

it("refuses to start where keys are required and there are none, and says what to do", async () => {
  const sluice = runSluice(["--engine", "dummy", "--port", "0"], { SLUICE_AUTH: "required" });
  expect(await sluice.ended).toBe(2);
  expect(sluice.output()).toMatch(/`auth` is required .*sluice keys create/);
});

it.concurrent.each([
  [["keys", "create", "--rpm", "1.5"]],
  [["keys", "create", "--label", "gold"]],
  [["accounts", "credit", "nobody", "1"]],
  [["ledger", "export", "--from", "yesterday"]],
])("exits with 2 and says what was wrong: %j", async (args) => {
  const sluice = runSluice(args);
  expect(await sluice.ended).toBe(2);
  expect(sluice.output()).toMatch(/(sluice|error): .{20}/);
  expect(sluice.output()).not.toMatch(/^\s+at /m);
});
