import { expect, test } from "vitest";
import { houseProblems, lockProblems } from "../../runtime-node/check.ts";

const cases: [what: string, path: string, text: string, problem: RegExp | undefined][] = [
  [
    "a second reader of streams",
    "functions/meter.ts",
    "const d = new TextDecoder();",
    /meter\.ts:1: .*sse\.ts/,
  ],
  ["the one reader of streams", "shared/openai/sse.ts", "const d = new TextDecoder();", undefined],
  ["an error body", "functions/app.ts", 'x({ error: { message: "no" } });', /errors\.ts/],
  ["a usage field", "functions/meter.ts", "usage?.prompt_tokens", /usage\.ts/],
  ["a usage field in a comment", "functions/meter.ts", "// usage.prompt_tokens", undefined],
  ["a usage field in a test", "test/a.test.ts", "usage?.prompt_tokens", undefined],
  ["a switch by engine", "functions/serve.ts", 'if (engine === "vllm") {', /adapter/],
  ["tee", "functions/meter.ts", "body.tee()", /one owner/],
  ["Node in shared", "shared/a.ts", 'import { join } from "node:path";', /imports node:path/],
  [
    "Node in functions, in several lines",
    "functions/a.ts",
    'import {\n  a,\n} from "node:fs";',
    /imports node:fs/,
  ],
  ["Node on the host", "runtime-node/a.ts", 'import { join } from "node:path";', undefined],
  ["hono in functions", "functions/a.ts", 'import { cors } from "hono/cors";', undefined],
  ["hono in shared", "shared/a.ts", 'import type { Hono } from "hono";', /imports hono/],
  ["an arrow up", "shared/a.ts", 'export { b } from "../functions/b.ts";', /may import shared\/ only/],
  ["an arrow down", "functions/routes/a.ts", 'import { b } from "../../shared/b.ts";', undefined],
  ["a dynamic arrow up", "functions/a.ts", 'await import("../runtime-node/b.ts")', /may import functions/],
  ["the host's probe in a load test", "loadtest/a.ts", 'import "../runtime-node/probe.ts";', undefined],
  ["the host's server in a load test", "loadtest/a.ts", 'import "../runtime-node/server.ts";', /may import/],
  [
    "a route in a route",
    "functions/routes/a.ts",
    'import { b } from "./b.ts";',
    /routes don't import each other/,
  ],
  [
    "an engine in an engine",
    "runtime-node/engines/mlx.ts",
    'import { b } from "./vllm.ts";',
    /engines don't/,
  ],
  ["a long file", "shared/a.ts", "const a = 1;\n".repeat(301), /301 lines/],
  ["a long file with its reason", "shared/a.ts", `// One table.\n${"const a = 1;\n".repeat(301)}`, undefined],
];

test.each(cases)("%s", (_, path, text, problem) => {
  const problems = houseProblems([{ path, text }]);
  if (problem === undefined) expect(problems).toEqual([]);
  else expect(problems).toEqual([expect.stringMatching(problem)]);
});

test("a package-lock.json that is behind package.json", () => {
  const manifest = { dependencies: { hono: "4.2.0", zod: "4.0.0" } };
  const lock = {
    packages: {
      "": { dependencies: { hono: "4.1.0", zod: "4.0.0", gone: "1.0.0" } },
      "node_modules/hono": {},
      "node_modules/zod": {},
    },
  };
  expect(lockProblems(manifest, lock)).toEqual([
    expect.stringContaining("hono is not as in package.json"),
    expect.stringContaining("gone is not as in package.json"),
  ]);
});
