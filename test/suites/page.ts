import { styleText } from "node:util";
import Table from "cli-table3";
import type { Outcome } from "./outcome.ts";
import { type ReleaseLine, round } from "./release.ts";

/** What a run of several suites has to show. */
export interface Summary {
  readonly title: string;
  /** UTC, ISO 8601. */
  readonly at: string;
  readonly machine: string;
  readonly outcomes: readonly Outcome[];
  /** Of the release check; empty elsewhere. */
  readonly lines: readonly ReleaseLine[];
}

/** What failed of it: tests, and lines of the release check. */
export function isPassed({ outcomes, lines }: Summary): boolean {
  return outcomes.every((outcome) => outcome.isPassed) && lines.every((line) => line.isPassed);
}

/** For a terminal; colours only where one shows them. */
export function summaryText(summary: Summary): string {
  const { title, at, machine, outcomes, lines } = summary;
  const suites = table(
    ["", "suite", "passed", "failed", "not here", "time", "measured"],
    outcomes.map((outcome) => [
      mark(outcome.isPassed),
      outcome.title,
      String(outcome.passed),
      String(outcome.failed),
      String(outcome.skipped),
      `${outcome.seconds.toFixed(0)} s`,
      figures(outcome)
        .map(([name, value]) => `${name} ${value}`)
        .join("\n"),
    ]),
  );
  const goals = table(
    ["", "release check", "target", "measured"],
    lines.map(({ isPassed, kind, name, target, measured }) => [
      mark(isPassed),
      `${kind}: ${name}`,
      target,
      measured,
    ]),
  );
  const failures = outcomes.flatMap((outcome) => outcome.failures.map((text) => `${outcome.title}: ${text}`));
  const notes = outcomes.flatMap((outcome) => outcome.notes.map((text) => `${outcome.title}: ${text}`));
  return [
    styleText("bold", `${title}: ${isPassed(summary) ? "passed" : "FAILED"}`),
    `${at}, ${machine}`,
    suites,
    ...(lines.length === 0 ? [] : [goals]),
    ...(failures.length === 0 ? [] : [styleText("bold", "Failures"), ...failures.map((text) => `  ${text}`)]),
    ...(notes.length === 0 ? [] : [styleText("bold", "Notes"), ...notes.map((text) => `  ${text}`)]),
    "",
  ].join("\n");
}

function mark(isGood: boolean): string {
  return isGood ? styleText("green", "pass") : styleText(["red", "bold"], "FAIL");
}

function table(head: string[], rows: string[][]): string {
  const made = new Table({ head, style: { head: [], border: [] }, wordWrap: true, colWidths: widths(head) });
  made.push(...rows);
  return made.toString();
}

/** The last column takes what is long. */
function widths(head: readonly string[]): (number | null)[] {
  return head.map((_, index) => (index === head.length - 1 ? 60 : null));
}

const UNITS: Readonly<Record<string, string>> = { Ms: " ms", MiB: " MiB", Percent: " %" };

/** `healthMeanMs` 4.3 -> `health mean`, `4.3 ms`. */
function figures({ figures: all }: Outcome): readonly (readonly [string, string])[] {
  return Object.entries(all).map(([key, value]) => {
    const [, name = key, unit = ""] = /^(.*?)(Ms|MiB|Percent)?$/.exec(key) ?? [];
    const words = name.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
    return [words, `${typeof value === "number" ? round(value) : value}${UNITS[unit] ?? ""}`];
  });
}

/** One file without anything from elsewhere; links lead to the pages beside it. */
export function summaryHtml(summary: Summary): string {
  const { title, at, machine, outcomes, lines } = summary;
  const verdict = isPassed(summary) ? "passed" : "failed";
  const suites = outcomes.map(
    (
      outcome,
    ) => `<tr class="${outcome.isPassed ? "pass" : "fail"}"><td>${outcome.isPassed ? "pass" : "FAIL"}</td>
<td>${outcome.pages.length === 0 ? escapeHtml(outcome.title) : `<a href="${escapeHtml(outcome.pages[0] ?? "")}">${escapeHtml(outcome.title)}</a>`}</td>
<td>${outcome.passed}</td><td>${outcome.failed}</td><td>${outcome.skipped}</td><td class="time">${outcome.seconds.toFixed(0)} s</td>
<td>${figures(outcome)
      .map(([name, value]) => `${escapeHtml(name)} <b>${escapeHtml(value)}</b>`)
      .join("<br>")}</td></tr>`,
  );
  const goals = lines.map(
    (line) => `<tr class="${line.isPassed ? "pass" : "fail"}"><td>${line.isPassed ? "pass" : "FAIL"}</td>
<td>${line.kind}</td><td>${escapeHtml(line.name)}</td><td>${escapeHtml(line.target)}</td><td><b>${escapeHtml(line.measured)}</b></td></tr>`,
  );
  const list = (heading: string, items: readonly string[]) =>
    items.length === 0
      ? ""
      : `<h2>${heading}</h2><ul>${items.map((text) => `<li>${escapeHtml(text)}</li>`).join("")}</ul>`;
  const all = (read: (outcome: Outcome) => readonly string[]) =>
    outcomes.flatMap((outcome) => read(outcome).map((text) => `${outcome.title}: ${text}`));
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escapeHtml(title)}: ${verdict}</title>
<style>
:root { color-scheme: light dark; --line: #8884; --pass: #2a7d3f; --fail: #c02b2b; }
@media (prefers-color-scheme: dark) { :root { --pass: #5cc47a; --fail: #ff7b72; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; vertical-align: top; padding: .4rem .7rem; border-bottom: 1px solid var(--line); }
.time { white-space: nowrap; }
.pass td:first-child, .passed { color: var(--pass); font-weight: 600; }
.fail td:first-child, .failed { color: var(--fail); font-weight: 600; }
</style></head><body>
<h1>${escapeHtml(title)}: <span class="${verdict}">${verdict}</span></h1>
<p>${escapeHtml(at)}, ${escapeHtml(machine)}</p>
${goals.length === 0 ? "" : `<h2>Release check</h2><div class="scroll"><table><tr><th></th><th></th><th>line</th><th>target</th><th>measured</th></tr>${goals.join("\n")}</table></div>`}
<h2>Suites</h2><div class="scroll"><table><tr><th></th><th>suite</th><th>passed</th><th>failed</th><th>not here</th><th>time</th><th>measured</th></tr>
${suites.join("\n")}</table></div>
${list(
  "Failures",
  all(({ failures }) => failures),
)}
${list(
  "Not here",
  all(({ notes }) => notes),
)}
</body></html>
`;
}

function escapeHtml(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
