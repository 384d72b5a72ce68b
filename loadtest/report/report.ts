import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Result } from "../result.ts";
import { chartsOf } from "./charts.ts";
import { failuresCsv, historyCsv, statsCsv } from "./csv.ts";
import { drawingOf } from "./drawing.ts";
import { dateText, notices, overview } from "./overview.ts";
import { type PageContent, pageOf } from "./page.ts";
import { pngOf } from "./png.ts";
import { clientChecks, endpoints, failures, finishReasons, latencies, objectives, sweep } from "./tables.ts";
import { type Language, type Say, speak } from "./words.ts";

/**
 * Writes everything that can be made from a result: `stats.csv`, `stats_history.csv`, `failures.csv` (Locust's
 * columns), `report.html` and `charts/*.png`. The folder is made if it isn't there; what is in it is replaced.
 */
export async function writeReport(
  dir: string,
  result: Result,
  options: { readonly language: Language },
): Promise<void> {
  await mkdir(join(dir, "charts"), { recursive: true });
  const files = {
    "stats.csv": statsCsv(result),
    "stats_history.csv": historyCsv(result),
    "failures.csv": failuresCsv(result),
    "report.html": pageOf((say) => content(result, say), options.language),
  };
  for (const [name, text] of Object.entries(files)) await writeFile(join(dir, name), text);
  const charts = chartsOf([drawingOf(nameOf(result), result)], speak("en"));
  for (const chart of charts) await writeFile(join(dir, "charts", `${chart.id}.png`), pngOf(chart));
}

function content(result: Result, say: Say): PageContent {
  return {
    title: say("report"),
    subtitle: `${nameOf(result)} · ${dateText(result.startedAt)} · ${result.tool.name} ${result.tool.version}`,
    notices: notices(result, say),
    summary: present([objectives(result.slo, say), overview(result, say), sweep(result, say)]),
    details: present([
      latencies(result.aggregated, say),
      endpoints(result, say),
      failures(result, say),
      finishReasons(result.aggregated, say),
      clientChecks(result, say),
    ]),
    charts: chartsOf([drawingOf(nameOf(result), result)], say),
  };
}

function nameOf({ plan }: Result): string {
  return plan.target;
}

function present<Each>(all: readonly (Each | undefined)[]): readonly Each[] {
  return all.filter((each) => each !== undefined);
}
