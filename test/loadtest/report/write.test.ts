import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { Script } from "node:vm";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { tableText } from "../../../loadtest/report/console.ts";
import { notices } from "../../../loadtest/report/overview.ts";
import { pngOf } from "../../../loadtest/report/png.ts";
import { endpoints, latencies } from "../../../loadtest/report/tables.ts";
import { speak } from "../../../loadtest/report/words.ts";
import { writeReport } from "../../../loadtest/report/write.ts";
import type { Result } from "../../../loadtest/result.ts";
import { madePoint, madeResult } from "./made-result.ts";

const HOSTILE = '</script><img src=x onerror="alert(1)">';
const say = speak("en");

describe("writeReport", () => {
  let dir = "";
  let html = "";
  const result = withHostileError(madeResult({ sweep: [1, 10, 20, 40].map(madePoint) }));
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "sluice-report-"));
    await writeReport(dir, result, { language: "zh" });
    html = await readFile(join(dir, "report.html"), "utf8");
  });
  afterAll(() => rm(dir, { recursive: true }));

  it("leaves the tables, the page and a picture of each chart", async () => {
    expect((await readdir(dir)).sort()).toEqual([
      "charts",
      "failures.csv",
      "report.html",
      "stats.csv",
      "stats_history.csv",
    ]);
    expect((await readdir(join(dir, "charts"))).sort()).toEqual([
      "e2e.png",
      "failure-rate.png",
      "icl.png",
      "p95.png",
      "rps.png",
      "throughput-latency.png",
      "tokens.png",
      "ttft.png",
      "users.png",
    ]);
  });

  it("draws letters into pictures of twice 960 x 480: another title is another picture", async () => {
    const png = await readFile(join(dir, "charts", "p95.png"));
    expect([png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual([1920, 960]);
    const titled = (text: string) => pngOf({ id: "p95", option: { title: { text } } });
    expect(Buffer.compare(titled("p95 trend"), titled("p99 trend"))).not.toBe(0);
  });

  it("writes Locust's columns to the letter", async () => {
    const [stats, history, failures] = await Promise.all(
      ["stats.csv", "stats_history.csv", "failures.csv"].map(async (name) =>
        (await readFile(join(dir, name), "utf8")).trimEnd().split("\n"),
      ),
    );
    const percentiles = "50%,66%,75%,80%,90%,95%,98%,99%,99.9%,99.99%,100%";
    expect(stats?.[0]).toBe(
      `Type,Name,Request Count,Failure Count,Median Response Time,Average Response Time,Min Response Time,Max Response Time,Average Content Size,Requests/s,Failures/s,${percentiles}`,
    );
    expect(stats?.at(-1)).toMatch(/^,Aggregated,2616,16,/);
    expect(history?.[0]).toBe(
      `Timestamp,User Count,Type,Name,Requests/s,Failures/s,${percentiles},Total Request Count,Total Failure Count,Total Median Response Time,Total Average Response Time,Total Min Response Time,Total Max Response Time,Total Average Content Size`,
    );
    expect(history?.[1]).toMatch(/^\d{10},5,,Aggregated,/);
    // Nothing had been answered in the first second.
    expect(history?.[1]?.split(",").filter((cell) => cell === "N/A")).toHaveLength(11);
    expect(history).toHaveLength(91);
    expect(failures?.[0]).toBe("Method,Name,Error,Occurrences");
    expect(failures?.[1]).toContain("http_5xx: ");
  });

  it("makes a page that reaches for nothing outside, opens in the language asked for, and has both", () => {
    expect(html).toContain('<html lang="zh">');
    expect(html).toContain("Content-Security-Policy");
    expect(html).not.toMatch(/(?:src|href)="https?:/);
    expect(html).toContain(speak("zh")("endpoints"));
    expect(html).toContain(say("endpoints"));
  });

  it("lets no word of a server become markup or script", () => {
    expect(html).not.toContain(HOSTILE);
    expect(html).toContain("&lt;/script&gt;&lt;img src=x");
    const scripts = [...html.matchAll(/<script>([\s\S]*?)<\/script>/g)].map(([, text = ""]) => text);
    expect(scripts).toHaveLength(2);
    for (const script of scripts) expect(() => new Script(script)).not.toThrow();
  });
});

describe("notices", () => {
  it("says first that an invalid run says nothing about the server, and why", () => {
    const [first] = notices(madeResult({ isValid: false }), say);
    expect(first).toMatchObject({ tone: "bad" });
    expect(first?.text).toMatch(/^INVALID.*\nevent loop 31 ms late/);
  });

  it("gives the reasons in Chinese too, also of checks that this version doesn't know by name", () => {
    const made = madeResult({ isValid: false });
    const [known, other] = made.verdict.checks;
    if (known === undefined || other === undefined) throw new Error("the made run has two checks");
    const checks = [
      { ...other, level: "warn", message: "new" } as const,
      { ...known, name: "event-loop delay p99" },
    ];
    const texts = notices({ ...made, verdict: { ...made.verdict, checks } }, speak("zh"))[0]?.text.split(
      "\n",
    );
    expect(texts?.[1]).toMatch(/^事件循环延迟 p99 31.0 ms：客户端/);
    expect(texts?.[2]).toBe("own CPU 22.0 %：new");
  });

  it("doesn't say that objectives held in a run that says nothing", () => {
    const made = madeResult({ isValid: false });
    const slo = made.slo.map((check) => ({ ...check, isHeld: true }));
    expect(notices({ ...made, slo }, say).map(({ text }) => text)).not.toContain("Objectives held");
  });

  it("names the objectives that broke", () => {
    expect(notices(madeResult(), say).map(({ text }) => text)).toContain("Objectives broken: success=95%");
  });

  it("says so when nothing succeeded and when the load kept growing", () => {
    const made = madeResult();
    const aggregated = { ...made.aggregated, failures: made.aggregated.requests };
    const texts = notices({ ...made, aggregated, isSteady: false }, say).map(({ text }) => text);
    expect(texts).toContain("Nothing succeeded");
    expect(texts.some((text) => text.startsWith("Not steady"))).toBe(true);
  });
});

describe("tables", () => {
  it("marks a percentile that fewer than 10 values lie beyond", () => {
    const table = latencies(madeResult().aggregated, say);
    const row = table?.rows.find(([name]) => name?.text === say("ttft"));
    // Of 2,000 values 20 lie beyond p99, and 2 beyond p99.9.
    expect(row?.[5]?.text).not.toContain("~");
    expect(row?.[6]?.text).toMatch(/^~/);
    expect(table?.note).toContain("coordinated omission");
  });

  it("prints every endpoint and all of them together, in Chinese too", () => {
    const text = stripVTControlCharacters(tableText(endpoints(madeResult(), speak("zh"))));
    for (const word of ["POST /v1/chat/completions", "GET /health", "合计", "请求数", "2616"])
      expect(text).toContain(word);
  });
});

function withHostileError(result: Result): Result {
  const line = { method: "GET", name: HOSTILE, kind: "http_5xx", error: HOSTILE, occurrences: 1 } as const;
  return { ...result, failures: [...result.failures, line] };
}
