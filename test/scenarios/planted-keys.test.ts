import { mkdtemp, readdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { dataHome, startSluice } from "../harness/sluice.ts";
import { answerJson, answerOf, answerStream, chunkOf, startUpstream } from "../harness/upstream.ts";

const PLANTED = {
  client: "sk-slc-planted-client-key-0123456789",
  wrong: "sk-slc-planted-wrong-key-0123456789",
  admin: "planted-admin-key-0123456789",
  backend: "sk-planted-backend-key-0123456789",
  webhook: "planted-webhook-secret-0123456789",
  body: "sk-planted-in-a-prompt-0123456789",
};

it("shows a key that stands in a header, the configuration or a body nowhere: no log, error, receipt, export, webhook or file", async () => {
  const upstream = await startUpstream();
  const hook = await startUpstream(answerJson(200, {}));
  const folder = await mkdtemp(join(tmpdir(), "sluice-planted-"));
  const home = dataHome();
  await writeFile(
    join(folder, "sluice.yaml"),
    JSON.stringify({
      log: { level: "debug" },
      admin: { key: PLANTED.admin },
      keys: [{ id: "web", key: PLANTED.client, account: "acme" }],
      backends: [{ id: "far", url: upstream.url, apiKey: PLANTED.backend, models: ["m"] }],
      webhooks: [{ id: "payments", url: hook.url, secret: PLANTED.webhook }],
      price: { prompt: 1, completion: 1 },
    }),
  );
  const server = await startSluice(["--config", join(folder, "sluice.yaml")], { XDG_DATA_HOME: home });

  const seen: string[] = [];
  const ask = async (path: string, key: string, body?: string): Promise<string> => {
    const response = await fetch(`${server.url}/v1/${path}`, {
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { method: "POST", body }),
    });
    const text = await response.text().catch(() => "cut off");
    seen.push(text, JSON.stringify([...response.headers]));
    return text;
  };
  const chat = (more: object = {}) =>
    JSON.stringify({
      model: "m",
      messages: [{ role: "user", content: PLANTED.body }],
      user: PLANTED.body,
      ...more,
    });

  upstream.play((response, { headers }) =>
    answerJson(401, { error: { message: `Incorrect API key provided: ${headers.authorization}` } })(
      response,
      { method: "", path: "", headers, body: undefined, closed: Promise.resolve() },
    ),
  );
  await ask("chat/completions", PLANTED.client, chat());
  upstream.play(answerJson(200, answerOf("hello")));
  await ask("chat/completions", PLANTED.client, chat());
  upstream.play(answerStream([chunkOf({ role: "assistant", content: "hel" })], "destroy"));
  await ask("chat/completions", PLANTED.client, chat({ stream: true }));
  await ask("chat/completions", PLANTED.wrong, chat());
  await ask("chat/completions", PLANTED.client, `{"model": ${PLANTED.body}`);
  await ask("chat/completions", PLANTED.client, chat({ temperature: PLANTED.body, api_key: PLANTED.body }));
  await ask("usage", PLANTED.client);
  await ask("models", PLANTED.client);
  const { key } = JSON.parse(await ask("admin/keys", PLANTED.admin, "{}"));
  seen.splice(-2);
  for (const path of ["keys", "accounts", "receipts", "receipts?format=csv", "receipts?format=jsonl"])
    await ask(`admin/${path}`, PLANTED.admin);
  await ask("organization/costs?start_time=0&group_by=api_key_id", PLANTED.admin);
  await ask("system/status", PLANTED.admin);
  await expect.poll(() => hook.requests.length, { timeout: 10_000 }).toBeGreaterThanOrEqual(2);
  server.child.kill("SIGTERM");
  expect(await server.ended).toBe(0);
  await Promise.all([upstream.close(), hook.close()]);

  const posts = hook.requests.map(({ headers, body }) => JSON.stringify([headers, body]));
  const forwarded = upstream.requests.map(({ headers }) => JSON.stringify(headers));
  const files = (await readdir(join(home, "sluice"))).map((name) =>
    readFile(join(home, "sluice", name), "latin1"),
  );
  const written = [...seen, server.output(), ...posts, ...(await Promise.all(files))];
  expect(seen.join("\n")).toContain('"source":"engine"');
  expect(server.output()).toContain("far");
  for (const secret of [...Object.values(PLANTED), key])
    for (const text of written) expect(text).not.toContain(secret);
  for (const secret of [PLANTED.client, PLANTED.wrong, PLANTED.admin])
    for (const text of forwarded) expect(text).not.toContain(secret);
});
