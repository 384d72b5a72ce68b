import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readTrace } from "../../loadtest/trace.ts";

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "loadtest-trace-"));
});

afterAll(() => rm(folder, { recursive: true }));

async function traceOf(...lines: readonly object[]) {
  const file = join(folder, "trace.jsonl");
  await writeFile(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
  return readTrace(file);
}

describe("readTrace", () => {
  it("starts at 0 and rises, in whatever order the lines are", async () => {
    const trace = await traceOf({ timestamp: 900, prompt: "b" }, { timestamp: 400, prompt: "a" });
    expect(trace.map(({ atMs, turns }) => [atMs, ...turns])).toEqual([
      [0, "a"],
      [500, "b"],
    ]);
  });

  it("makes every prompt of its length another one, also those due at the same moment", async () => {
    const line = { timestamp: 3000, input_length: 40, output_length: 8 };
    const trace = await traceOf(line, line, { ...line, timestamp: 3000.5 });
    const prompts = trace.flatMap(({ turns }) => turns);
    expect(prompts.map((prompt) => prompt.split(" ").length)).toEqual([40, 40, 40]);
    expect(new Set(prompts).size).toBe(3);
    expect((await traceOf(line, line)).flatMap(({ turns }) => turns)).toEqual(prompts.slice(0, 2));
  });
});
