import { writeFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import type { Command } from "commander";
import { overall } from "../analyze/pairs.ts";
import { pairedSlices } from "../analyze/slices.ts";
import { chartsOf } from "../report/charts.ts";
import { noticeText, tableText } from "../report/console.ts";
import { drawingOf } from "../report/drawing.ts";
import type { Notice } from "../report/overview.ts";
import { isTooShort, type NamedRatio, namedRatios, ratioNotice, ratioTable } from "../report/ratios.ts";
import { readResult } from "../report/stored.ts";
import { runsTable } from "../report/tables.ts";
import { type Language, type Say, speak } from "../report/words.ts";
import { writePage } from "../report/write.ts";
import type { Result } from "../result.ts";
import { deltaOption, languageOption } from "./report-flags.ts";

interface CompareFlags {
  /** 0 to 1. */
  readonly delta: number;
  readonly out?: string;
  readonly lang: Language;
  readonly json?: boolean;
}

interface Run {
  readonly name: string;
  readonly result: Result;
}

interface Comparison {
  readonly baseline: string;
  readonly run: string;
  readonly ratios: readonly NamedRatio[];
}

export function configureCompare(command: Command): void {
  command
    .argument("<baseline>", "the folder of a run")
    .argument("<run...>", "those of others")
    .addOption(deltaOption())
    .option("--out <dir>", "write compare.json, report.html and charts/*.png there")
    .addOption(languageOption())
    .option("--json", "print the comparison as JSON, and nothing else")
    .action((baseline: string, others: string[], flags: CompareFlags) =>
      compare([baseline, ...others], flags),
    );
}

async function compare(dirs: readonly string[], flags: CompareFlags): Promise<void> {
  const names = namesOf(dirs);
  const runs = await Promise.all(
    dirs.map(async (dir, at): Promise<Run> => ({ name: names[at] ?? dir, result: await readResult(dir) })),
  );
  const comparisons = comparisonsOf(runs, flags.delta);
  const json = `${JSON.stringify({ delta: flags.delta, comparisons: comparisons.map(jsonOf) }, null, 2)}\n`;
  if (flags.out !== undefined) {
    const content = (say: Say) => contentOf(runs, comparisons, flags.delta, say);
    await writePage(flags.out, content, { language: flags.lang });
    await writeFile(join(flags.out, "compare.json"), json);
  }
  if (flags.json === true) process.stdout.write(json);
  else process.stdout.write(textOf(contentOf(runs, comparisons, flags.delta, speak(flags.lang)), flags.out));
}

function comparisonsOf([baseline, ...others]: readonly Run[], delta: number): readonly Comparison[] {
  if (baseline === undefined) return [];
  return others.map(({ name, result }) => ({
    baseline: baseline.name,
    run: name,
    ratios: namedRatios(pairedSlices(baseline.result.series, result.series), { delta, isSerial: true }),
  }));
}

function contentOf(runs: readonly Run[], comparisons: readonly Comparison[], delta: number, say: Say) {
  const invalid = runs
    .filter(({ result }) => !result.verdict.isValid)
    .map(({ name }): Notice => ({ text: `${name}: ${say("invalidRun")}`, tone: "bad" }));
  const isValid = (name: string) => runs.some((run) => run.name === name && run.result.verdict.isValid);
  const answers = comparisons
    .filter(({ baseline, run }) => isValid(baseline) && isValid(run))
    .map(({ run, ratios }): Notice => {
      if (isTooShort(ratios)) return { text: `${run}: ${say("tooShort")}`, tone: "warn" };
      const answer = ratioNotice(ratios, say);
      return { ...answer, text: `${run}: ${answer.text}` };
    });
  return {
    title: say("comparison"),
    subtitle: runs.map(({ name }) => name).join(" · "),
    notices: [...invalid, ...answers, { text: say("betweenRuns"), tone: "warn" } as const],
    summary: comparisons.map(({ baseline, run, ratios }) =>
      ratioTable(ratios, { a: baseline, b: run }, delta, say),
    ),
    details: [runsTable(runs, say)],
    charts: chartsOf(
      runs.map(({ name, result }) => drawingOf(name, result)),
      say,
    ),
  };
}

function textOf(
  { notices, summary, details }: ReturnType<typeof contentOf>,
  out: string | undefined,
): string {
  const tables = [...details, ...summary].map(tableText).join("\n");
  return `${tables}\n${notices.map(noticeText).join("\n")}\n${out === undefined ? "" : `${out}\n`}`;
}

function jsonOf({ baseline, run, ratios }: Comparison) {
  return { baseline, run, overall: overall(ratios), ratios };
}

/** The folders' own names; where two are alike, with as much of the path as tells them apart. */
function namesOf(dirs: readonly string[]): readonly string[] {
  const names = dirs.map((dir) => basename(resolve(dir)));
  return new Set(names).size === names.length ? names : dirs;
}
