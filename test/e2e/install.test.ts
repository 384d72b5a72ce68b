import { cp, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { serve } from "./served.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** What a clone doesn't have, and what a start doesn't need. */
const LEFT_OUT = /^(node_modules|dist|coverage|test|\.git|\.wrangler|\.cache)$/;

let clone: string;

beforeAll(async () => {
  clone = await mkdtemp(join(tmpdir(), "sluice-clone-"));
  await cp(ROOT, clone, { recursive: true, filter: (path) => !LEFT_OUT.test(relative(ROOT, path)) });
});

afterAll(async () => {
  await rm(clone, { recursive: true, force: true });
});

test("npm start in a fresh clone installs and answers, and leaves the lock file alone", {
  timeout: 240_000,
}, async (context) => {
  const served = await serve(
    "npm",
    ["start", "--", "--host", "127.0.0.1", "--port", "0", "--model", "demo"],
    clone,
  ).catch((error: Error) => {
    if (/ENOTCACHED|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ECONNREFUSED/.test(error.message))
      context.skip("npm has neither the packages in its cache nor a network to fetch them");
    throw error;
  });
  try {
    const { choices } = await served.client.chat.completions.create({
      model: "sluice-demo",
      messages: [{ role: "user", content: "What is Sluice?" }],
      max_tokens: 16,
    });
    expect(choices[0]?.message.content).toMatch(/\w/);
  } finally {
    await served.stop();
  }
  const lock = (folder: string) => readFile(join(folder, "package-lock.json"), "utf8");
  expect(await lock(clone)).toBe(await lock(ROOT));
});
