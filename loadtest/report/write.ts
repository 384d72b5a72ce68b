import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Result } from "../result.ts";
import { chartsOf } from "./charts.ts";
import { clientChecks } from "./checks.ts";
import { failuresCsv, historyCsv, statsCsv } from "./csv.ts";
import { drawingOf } from "./drawing.ts";
import { dateText, notices, overview } from "./overview.ts";
import { type PageContent, pageOf } from "./page.ts";
import { endpoints, failures, finishReasons, latencies, objectives, sweep } from "./tables.ts";
import { type Language, type Say, speak } from "./words.ts";

interface Options {
  /** What the page opens in; pictures are in English. */
  readonly language: Language;
}

/**
 * Writes everything that can be made from a result: `stats.csv`, `stats_history.csv`, `failures.csv` (Locust's
 * columns), `report.html` and `charts/*.png`. The folder is made if it isn't there; what is in it is replaced.
 */
export async function writeReport(dir: string, result: Result, options: Options): Promise<void> {
  await writePage(dir, (say) => contentOf(result, say), options);
  await writeFile(join(dir, "stats.csv"), statsCsv(result));
  await writeFile(join(dir, "stats_history.csv"), historyCsv(result));
  await writeFile(join(dir, "failures.csv"), failuresCsv(result));
}

/** `report.html` and `charts/*.png`; the page alone where pictures can't be drawn, and why on stderr. */
export async function writePage(
  dir: string,
  content: (say: Say) => PageContent,
  { language }: Options,
): Promise<void> {
  await mkdir(join(dir, "charts"), { recursive: true });
  await writeFile(join(dir, "report.html"), pageOf(content, language));
  const pngOf = await loadPngOf();
  if (pngOf === undefined) return;
  for (const chart of content(speak("en")).charts)
    await writeFile(join(dir, "charts", `${chart.id}.png`), pngOf(chart));
}

/**
 * Loaded only now: the drawing library is half of what the load tester loads, and a run has no use for it until it has
 * ended. Its native part isn't there for every machine, nor in an install without optional packages.
 */
async function loadPngOf() {
  try {
    return (await import("./png.ts")).pngOf;
  } catch (error) {
    const [reason] = String(error).split("\n");
    process.stderr.write(`loadtest: no charts/*.png, report.html draws the same charts: ${reason}\n`);
    return undefined;
  }
}

function contentOf(result: Result, say: Say): PageContent {
  const { plan, startedAt, tool } = result;
  return {
    title: say("report"),
    subtitle: `${plan.target} · ${dateText(startedAt)} · ${tool.name} ${tool.version}`,
    notices: notices(result, say),
    summary: present([objectives(result.slo, say), overview(result, say), sweep(result, say)]),
    details: present([
      latencies(result.aggregated, say),
      endpoints(result, say),
      failures(result, say),
      finishReasons(result.aggregated, say),
      clientChecks(result, say),
    ]),
    charts: chartsOf([drawingOf(plan.target, result)], say),
  };
}

function present<Each>(all: readonly (Each | undefined)[]): readonly Each[] {
  return all.filter((each) => each !== undefined);
}
