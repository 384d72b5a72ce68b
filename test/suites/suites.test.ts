import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { glob } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { documentProblems } from "./documents.ts";
import { type Outcome, outcomeOf, type SuiteName, vitestReport } from "./outcome.ts";
import { isPassed, type Summary, summaryHtml, summaryText } from "./page.ts";
import { releaseLines } from "./release.ts";
import { FOLDERS } from "./suites.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

describe("the suites", () => {
  it("share out everything in npm test, each file to one of them", async () => {
    const folders = Object.values(FOLDERS).flat();
    for await (const file of glob("test/**/*.test.ts", { cwd: ROOT })) {
      const owners = folders.filter((folder) => file.replaceAll("\\", "/").startsWith(`${folder}/`));
      expect(owners, file).toHaveLength(1);
    }
  });
});

const file = (status: string, assertionResults: object[], message = "") => ({
  name: "/repo/test/shared/pricing.test.ts",
  status,
  message,
  startTime: 1000,
  endTime: 3000,
  assertionResults,
});
const suite = { name: "unit", title: "Unit tests" } as const;
const test = (status: string, more: object = {}) => ({
  fullName: `a ${status} one`,
  status,
  meta: {},
  ...more,
});

describe("the outcome of vitest's report", () => {
  const outcome = (...files: ReturnType<typeof file>[]) =>
    outcomeOf(suite, vitestReport.parse({ success: true, testResults: files }));

  it("counts tests, and keeps figures and reasons", () => {
    const figures = { healthMeanMs: 2.5 };
    const tests = [
      test("passed", { meta: { figures } }),
      test("skipped", { meta: { note: "no GPU" } }),
      test("failed", { failureMessages: ["expected 1 to be 2\n    at line 3"] }),
    ];
    expect(outcome(file("failed", tests))).toMatchObject({
      isPassed: false,
      seconds: 2,
      passed: 1,
      failed: 1,
      skipped: 1,
      figures,
      notes: ["a skipped one: no GPU"],
      failures: ["a failed one: expected 1 to be 2"],
    });
  });

  it("has failed when a file could not be loaded, or nothing was run", () => {
    const broken = outcome(file("passed", [test("passed")]), file("failed", [], "SyntaxError: here"));
    expect(broken).toMatchObject({ isPassed: false, failed: 1 });
    expect(broken.failures[0]).toContain("SyntaxError: here");
    expect(outcome(file("passed", [test("skipped")])).isPassed).toBe(false);
  });
});

function outcomeNamed(name: SuiteName, more: Partial<Outcome> = {}): Outcome {
  const none = { failures: [], notes: [], pages: [], failed: 0, skipped: 0 };
  return { name, title: name, isPassed: true, seconds: 1, passed: 3, figures: {}, ...none, ...more };
}

const GOOD: readonly Outcome[] = [
  outcomeNamed("unit"),
  outcomeNamed("integration"),
  outcomeNamed("compat"),
  outcomeNamed("platform", { figures: { platform: "linux x86_64", node: "v24.21.0" } }),
  outcomeNamed("running"),
  outcomeNamed("perf", { figures: { healthMeanMs: 3, responseMeanMs: 60, memoryGrowthMiB: 1 } }),
  outcomeNamed("stress", {
    figures: {
      successPercent: 100,
      responseMeanMs: 400,
      requestsPerMinute: 1800,
      memoryGrowthMiB: -3,
      serverCpuPercent: 60,
      isValid: "true",
    },
  }),
];

describe("the release check", () => {
  const failing = (outcomes: readonly Outcome[], documents: readonly string[] = []) =>
    releaseLines({ outcomes, documentProblems: documents })
      .filter((line) => !line.isPassed)
      .map(({ name, measured }) => `${name}: ${measured}`);
  const change = (name: SuiteName, figures: Outcome["figures"]) =>
    GOOD.map((each) => (each.name === name ? { ...each, figures: { ...each.figures, ...figures } } : each));

  it("passes when every line does", () => {
    expect(failing(GOOD)).toEqual([]);
  });

  it("passes nothing that was not run", () => {
    const lines = releaseLines({ outcomes: [], documentProblems: [] });
    expect(lines.filter((line) => line.isPassed).map(({ name }) => name)).toEqual(["documentation complete"]);
    expect(lines.length).toBe(15);
  });

  it.each([
    ["stress", { successPercent: 95 }, 2],
    ["stress", { requestsPerMinute: 50 }, 1],
    ["stress", { serverCpuPercent: 80 }, 1],
    ["stress", { responseMeanMs: 3000 }, 1],
    ["stress", { memoryGrowthMiB: 100 }, 1],
    ["stress", { isValid: "false" }, 1],
    ["perf", { healthMeanMs: 100 }, 1],
    ["perf", { responseMeanMs: 3000 }, 2],
    ["perf", { memoryGrowthMiB: 100 }, 1],
  ] as const)("fails at the limit itself: %s %o", (name, figures, count) => {
    expect(failing(change(name, figures))).toHaveLength(count);
  });

  it("fails with the suites, and names what is wrong with the documents", () => {
    const failed = GOOD.map((each) => ({ ...each, isPassed: each.name !== "running" }));
    expect(failing(failed)).toEqual(["OpenAI compatibility tests pass: 6 passed, 0 failed, 0 not here"]);
    expect(failing(GOOD, ["README.md doesn't name npm run x"])).toHaveLength(1);
  });
});

describe("the documents", () => {
  const folders: string[] = [];
  afterEach(() => {
    for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
  });
  const project = (english: string, chinese: string) => {
    const root = mkdtempSync(join(tmpdir(), "sluice-documents-"));
    folders.push(root);
    writeFileSync(join(root, "package.json"), JSON.stringify({ scripts: { "test:unit": "x" } }));
    writeFileSync(join(root, "README.md"), english);
    writeFileSync(join(root, "README.zh-CN.md"), chinese);
    return root;
  };
  const good =
    "# A\n## B\nnpm run test:unit, [中文](README.zh-CN.md), [site](https://example.com), [B](#b)\n";

  it("are complete when scripts are named, links lead somewhere and the languages keep step", () => {
    expect(documentProblems(project(good, good))).toEqual([]);
  });

  it("name what is missing", () => {
    const problems = documentProblems(
      project(good, "# A\n### B\nnpm run test:unit-more [gone](gone.md#part)\n"),
    );
    expect(problems).toEqual([
      "README.zh-CN.md doesn't name npm run test:unit",
      "README.zh-CN.md links to gone.md#part, which is not there",
      "README.zh-CN.md has ### B where README.md has ## B",
    ]);
  });

  it("are not judged by what stands in code", () => {
    const code = "```sh\n# no heading\n```\n";
    expect(documentProblems(project(good, good + code))).toEqual([]);
  });
});

describe("the summary", () => {
  const summary: Summary = {
    title: "Release check",
    at: "2026-11-25T12:00:00.000Z",
    machine: "Linux",
    outcomes: GOOD,
    lines: releaseLines({ outcomes: GOOD, documentProblems: ["<b> is no heading"] }),
  };

  it("has failed when one line has, and says so in both forms", () => {
    expect(isPassed(summary)).toBe(false);
    expect(isPassed({ ...summary, lines: [] })).toBe(true);
    expect(summaryText(summary)).toContain("Release check: FAILED");
    expect(summaryText(summary)).toMatch(/health mean 3\.00 ms/);
    expect(summaryHtml(summary)).toContain('<span class="failed">failed</span>');
    expect(summaryHtml(summary)).toContain("&lt;b&gt; is no heading");
  });
});
