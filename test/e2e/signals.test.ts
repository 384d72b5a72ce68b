import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { processFacts } from "../../runtime-node/engines/process-group.ts";
import { readEvents } from "../../shared/openai/sse.ts";
import { runSluice, type Sluice, startSluice } from "../harness/sluice.ts";
import { eventually } from "../harness/wire.ts";

const started: Sluice[] = [];
afterEach(async () => {
  for (const { child, ended } of started.splice(0)) {
    child.kill("SIGKILL");
    await ended;
  }
});

/** A server with a stream of so many answers under way. */
async function serverWithStream(answers: number) {
  const server = await startSluice();
  started.push(server);
  const response = await ask(server.url, {
    stream: true,
    prompt: Array.from({ length: answers }, (_, i) => [300 + i, 400, 500]),
    max_tokens: 200,
  });
  const events = readEvents(response.body ?? new ReadableStream());
  for (let i = 0; i < 3; i++) await events.next();
  return { server, events };
}

function ask(url: string, extra: object): Promise<Response> {
  return fetch(`${url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "sluice-demo", prompt: "x", seed: 1, ...extra }),
  });
}

it("on SIGTERM finishes streams in flight, refuses new requests with 503, and exits with 0", async () => {
  const { server, events } = await serverWithStream(20);
  server.child.kill("SIGTERM");
  await server.printed(/"stopping"/);

  const refused = await ask(server.url, { max_tokens: 1 });
  expect(refused.status).toBe(503);
  expect(refused.headers.get("retry-after")).toBe("1");
  expect(await refused.json()).toMatchObject({
    error: { type: "server_error", code: "server_is_overloaded" },
  });

  const rest = await Array.fromAsync(events);
  expect(rest.at(-1)).toBe("[DONE]");
  expect(JSON.parse(rest.at(-2) ?? "{}")).toMatchObject({
    choices: [{ finish_reason: expect.stringMatching(/length|stop/) }],
  });
  expect(await server.ended).toBe(0);
});

it("exits with 0 also when it is told to stop while it loads its models, and leaves no engine behind", async () => {
  const folder = mkdtempSync(join(tmpdir(), "sluice-signals-"));
  const command = join(folder, "llama-server");
  writeFileSync(command, '#!/bin/sh\necho $$ > "$0.pid"\nexec sleep 600\n', { mode: 0o755 });
  const config = join(folder, "sluice.yaml");
  writeFileSync(
    config,
    JSON.stringify({
      host: "127.0.0.1",
      port: 0,
      engine: "llama_server",
      llamaServer: { command },
      downloads: { cacheDir: folder },
    }),
  );
  const server = runSluice(["serve", "--config", config]);
  started.push(server);
  const pidText = () => readFileSync(`${command}.pid`, "utf8");
  await eventually(() => expect(pidText()).toMatch(/^\d+\n$/));
  const pid = Number(pidText());
  server.child.kill("SIGTERM");
  expect(await server.ended).toBe(0);
  expect(server.output()).not.toContain("can't load");
  expect(await processFacts(pid)).toBeUndefined();
});

it("ends at once on a second signal", async () => {
  const { server, events } = await serverWithStream(300);
  server.child.kill("SIGINT");
  await server.printed(/"stopping"/);
  // Repeats within a quarter of a second are one press of Ctrl-C: read on until a second one counts.
  for (const from = performance.now(); performance.now() - from < 300; ) await events.next();
  server.child.kill("SIGINT");
  expect(await server.ended).toBe(130);
});
