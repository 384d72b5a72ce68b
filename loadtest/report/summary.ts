import type { Result } from "../result.ts";
import { clientChecks } from "./checks.ts";
import { noticeText, tableText } from "./console.ts";
import { notices, overview } from "./overview.ts";
import { endpoints, failures, latencies, objectives, sweep } from "./tables.ts";
import { type Language, speak } from "./words.ts";

/** What a terminal shows of a run at its end: the verdict last, where the eye is. */
export function summaryText(result: Result, language: Language): string {
  const say = speak(language);
  const isSuspect = result.verdict.checks.some(({ level }) => level !== "ok");
  const tables = [
    overview(result, say),
    sweep(result, say),
    latencies(result.aggregated, say),
    endpoints(result, say),
    failures(result, say),
    isSuspect ? clientChecks(result, say) : undefined,
    objectives(result.slo, say),
  ].filter((table) => table !== undefined);
  return `${tables.map(tableText).join("\n")}\n${notices(result, say).map(noticeText).join("\n")}\n`;
}
