import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { tableText } from "../../../loadtest/report/console.ts";
import { historyCsv, statsCsv } from "../../../loadtest/report/csv.ts";
import { drawingOf } from "../../../loadtest/report/drawing.ts";
import { locustOverview, locustTables, readLocust } from "../../../loadtest/report/locust.ts";
import { speak } from "../../../loadtest/report/words.ts";
import { madeResult } from "./made-result.ts";

/** Recorded from Locust 2.47.0: 10 users for 12 s against a server that sometimes says 503. */
const RECORDED = fileURLToPath(new URL("../../fixtures/locust/locust-2.47.0", import.meta.url));

describe("readLocust", () => {
  it("reads what Locust wrote, quoted names and error messages too", async () => {
    const { endpoints, aggregated, failures, drawing } = await readLocust(RECORDED);
    expect(endpoints.map(({ method, name, requests }) => [method, name, requests])).toEqual([
      ["GET", "/health", 123],
      ["GET", '/v1/models, "all"', 189],
    ]);
    expect(aggregated).toMatchObject({ requests: 312, failures: 15, p95: 31, p99: 53 });
    expect(failures).toEqual([
      expect.objectContaining({
        name: '/v1/models, "all"',
        occurrences: 15,
        error: expect.stringContaining("503"),
      }),
    ]);
    expect(drawing.moments.map(({ users }) => users).slice(0, 5)).toEqual([0, 3, 6, 9, 10]);
    expect(drawing.moments[0]).toMatchObject({ second: 1, p95: undefined });
    expect(drawing.moments[1]).toMatchObject({ second: 2, p95: 88 });
  });

  describe("of our own files", () => {
    let prefix = "";
    const result = madeResult();
    beforeAll(async () => {
      prefix = join(await mkdtemp(join(tmpdir(), "sluice-locust-")), "run");
      await writeFile(`${prefix}_stats.csv`, statsCsv(result));
      await writeFile(`${prefix}_stats_history.csv`, historyCsv(result));
    });
    afterAll(() => rm(join(prefix, ".."), { recursive: true }));

    it("draws the same trends as the result itself, to the millisecond", async () => {
      const { drawing, failures } = await readLocust(prefix);
      const own = drawingOf("run", result);
      const trend = (moments: typeof own.moments) =>
        moments.map(({ users, requestsPerSecond, p95 }) => [
          users,
          requestsPerSecond,
          p95 === undefined ? undefined : Math.round(p95),
        ]);
      expect(trend(drawing.moments)).toEqual(trend(own.moments));
      expect(failures).toEqual([]);
    });
  });

  it("reads a run in which nothing was asked", async () => {
    const dir = await mkdtemp(join(tmpdir(), "sluice-locust-"));
    const [stats = ""] = (await readFile(`${RECORDED}_stats.csv`, "utf8")).split(/\r?\n/, 1);
    const [history = ""] = (await readFile(`${RECORDED}_stats_history.csv`, "utf8")).split(/\r?\n/, 1);
    const none = Array(11).fill("N/A").join();
    try {
      await writeFile(join(dir, "x_stats.csv"), `${stats}\n,Aggregated,0,0,0,0.0,0,0,0,0.0,0.0,${none}\n`);
      await writeFile(
        join(dir, "x_stats_history.csv"),
        `${history}\n1764000000,0,,Aggregated,0.000000,0.000000,${none},0,0,0,0.0,0,0,0\n`,
      );
      const run = await readLocust(join(dir, "x"));
      expect(run.aggregated).toMatchObject({ requests: 0, p50: undefined, p99: undefined });
      const text = [locustOverview(run, speak("en")), ...locustTables(run, speak("en"))]
        .map(tableText)
        .join();
      expect(text).toMatch(/p99 ms +│ –/);
    } finally {
      await rm(dir, { recursive: true });
    }
  });

  it("says which file is missing, and which column", async () => {
    await expect(readLocust("/nowhere/run")).rejects.toThrow("/nowhere/run_stats.csv can't be read");
    const dir = await mkdtemp(join(tmpdir(), "sluice-locust-"));
    try {
      await writeFile(join(dir, "x_stats.csv"), "Type,Name,Request Count\n,Aggregated,5\n");
      await writeFile(join(dir, "x_stats_history.csv"), "Timestamp\n");
      await expect(readLocust(join(dir, "x"))).rejects.toThrow("column Failure Count is missing");
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});
