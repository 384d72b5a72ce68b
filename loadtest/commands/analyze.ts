import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { chartsOf } from "../report/charts.ts";
import { tableText } from "../report/console.ts";
import { type LocustRun, locustOverview, locustTables, readLocust } from "../report/locust.ts";
import { readResult } from "../report/stored.ts";
import { summaryText } from "../report/summary.ts";
import { type Language, type Say, speak } from "../report/words.ts";
import { writePage, writeReport } from "../report/write.ts";
import { languageOption } from "./report-flags.ts";

interface AnalyzeFlags {
  readonly out?: string;
  readonly lang: Language;
  readonly json?: boolean;
}

export function configureAnalyze(command: Command): void {
  command
    .argument("<run>", "its folder, or the prefix of Locust's CSV files")
    .option("--out <dir>", "where to draw it (default: the run's folder; of Locust's files: <prefix>_report)")
    .addOption(languageOption())
    .option("--json", "print the result as JSON, and nothing else")
    .action(analyze);
}

async function analyze(run: string, flags: AnalyzeFlags): Promise<void> {
  if (!existsSync(join(run, "result.json")) && existsSync(`${run}_stats.csv`))
    return analyzeLocust(run, flags);
  const result = await readResult(run);
  const dir = flags.out ?? run;
  await writeReport(dir, result, { language: flags.lang });
  process.stdout.write(
    flags.json === true
      ? `${JSON.stringify(result, null, 2)}\n`
      : `${summaryText(result, flags.lang)}${dir}\n`,
  );
}

async function analyzeLocust(prefix: string, flags: AnalyzeFlags): Promise<void> {
  const run = await readLocust(prefix);
  const dir = flags.out ?? `${prefix}_report`;
  await writePage(dir, (say) => contentOf(prefix, run, say), { language: flags.lang });
  const { endpoints, aggregated, failures } = run;
  const say = speak(flags.lang);
  const text = [locustOverview(run, say), ...locustTables(run, say)].map(tableText).join("\n");
  process.stdout.write(
    flags.json === true
      ? `${JSON.stringify({ aggregated, endpoints, failures }, null, 2)}\n`
      : `${text}${dir}\n`,
  );
}

function contentOf(prefix: string, run: LocustRun, say: Say) {
  return {
    title: say("report"),
    subtitle: `Locust · ${prefix}`,
    notices: [],
    summary: [locustOverview(run, say)],
    details: locustTables(run, say),
    charts: chartsOf([run.drawing], say),
  };
}
