import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readProfile, readStages } from "../../loadtest/profile.ts";
import { createWorkload } from "../../loadtest/workload.ts";

const CHAT = { model: "m", nonce: "abc", maxTokens: null, hasContinuousUsage: false };

test("the shipped profiles and stages are the specification's", async () => {
  const profile = await readProfile("inference-user");
  expect(profile.tasks.map(({ name, weight }) => [name, weight])).toEqual([
    ["/health", 3],
    ["/v1/models", 5],
    ["/v1/chat/completions", 10],
    ["/v1/system/status", 2],
  ]);
  expect(profile.onStart).toEqual({ get: "/health", require: 200 });
  expect(profile.think?.uniform).toEqual([1000, 3000]);
  expect((await readProfile("concurrent-user")).think?.uniform).toEqual([100, 500]);
  expect((await readStages()).map(({ name, users, spawn, time }) => [name, users, spawn, time])).toEqual([
    ["basic", 10, 2, 60_000],
    ["medium", 50, 5, 120_000],
    ["high", 100, 10, 180_000],
  ]);
});

test("a user asks the same in every run of a seed, with lengths and temperatures in their ranges", async () => {
  const profile = await readProfile("inference-user");
  const [one, two] = [1, 1].map((seed) => createWorkload({ profile, seed, chat: CHAT }));
  const other = createWorkload({ profile, seed: 2, chat: CHAT });
  const ask = (workload: typeof one, user: number) =>
    Array.from({ length: 60 }, (_, n) => [workload?.call(user, n), workload?.thinkMs(user, n)]);
  expect(ask(one, 7)).toEqual(ask(two, 7));
  expect(ask(one, 7)).not.toEqual(ask(other, 7));
  for (const [call] of ask(one, 7)) {
    if (typeof call !== "object" || call.body === null) continue;
    const body = JSON.parse(call.body);
    expect(body.max_tokens).toBeGreaterThanOrEqual(20);
    expect(body.max_tokens).toBeLessThanOrEqual(100);
    expect(body.temperature).toBeGreaterThanOrEqual(0.1);
    expect(body.temperature).toBeLessThanOrEqual(0.9);
  }
});

test("the run's nonce and the request's number come first in every prompt, unless prompts may repeat", async () => {
  const profile = await readProfile("chat");
  const prompt = (nonce: string | null, n: number): string =>
    JSON.parse(createWorkload({ profile, seed: 1, chat: { ...CHAT, nonce } }).call(4, n).body ?? "")
      .messages[0].content;
  expect(prompt("abc", 9)).toMatch(/^\[abc-4-9\] /);
  expect(prompt("abc", 9)).toBe(`[abc-4-9] ${prompt(null, 9)}`);
});

test("one error names every bad path of a profile", async () => {
  const file = join(await mkdtemp(join(tmpdir(), "profile-")), "bad.yaml");
  await writeFile(
    file,
    "name: bad\nthink: { uniform: [1, 2s] }\ntasks: [{ name: x, get: health }]\nextra: 1\n",
  );
  await expect(readProfile(file)).rejects.toThrow(/think\.uniform\.0[\s\S]*tasks\.0[\s\S]*extra/);
  await writeFile(file, "name: bad\ntasks: [{ name: x, get: /health }]\nslo: { sucess: 95% }\n");
  await expect(readProfile(file)).rejects.toThrow(/sucess/);
  await expect(readProfile("no-such-profile")).rejects.toThrow(/no-such-profile/);
});
