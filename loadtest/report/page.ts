import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Chart } from "./charts.ts";
import type { Notice } from "./overview.ts";
import { PAGE_SCRIPT, PAGE_STYLE } from "./page-assets.ts";
import type { Cell, Table } from "./tables.ts";
import { type Language, type Say, speak } from "./words.ts";

/** What a page says, in one language; asked for both. */
export interface PageContent {
  readonly title: string;
  readonly subtitle: string;
  readonly notices: readonly Notice[];
  /** Above the charts and below them. */
  readonly summary: readonly Table[];
  readonly details: readonly Table[];
  readonly charts: readonly Chart[];
}

const LANGUAGES = ["en", "zh"] as const satisfies readonly Language[];

/**
 * One file that needs nothing else: no network (its policy forbids it), no fonts, no server. Both languages are in
 * it, the text also without scripts; `language` is the one it opens with.
 */
export function pageOf(contentOf: (say: Say) => PageContent, language: Language): string {
  const contents = LANGUAGES.map((each) => ({
    language: each,
    say: speak(each),
    content: contentOf(speak(each)),
  }));
  const inBoth = (write: (content: PageContent, say: Say) => string) =>
    contents
      .map(
        ({ language: each, say, content }) => `<div lang="${each}" class="text">${write(content, say)}</div>`,
      )
      .join("\n");
  const charts = Object.fromEntries(contents.map(({ language: each, content }) => [each, content.charts]));
  const boxes = (contents[0]?.content.charts ?? []).map(
    ({ id }) => `<div class="chart" id="chart-${id}"></div>`,
  );
  return `<!doctype html>
<html lang="${language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:">
<title>${markup(speak(language)("report"))}</title>
<style>${PAGE_STYLE}</style>
</head>
<body>
<button id="language" type="button">${contents.map(({ language: each, say }) => `<span lang="${each}" class="text">${markup(say("switchLanguage"))}</span>`).join("")}</button>
<main>
${inBoth((content) => `${heading(content)}${content.summary.map(tableHtml).join("\n")}`)}
${inBoth(({ charts: drawn }, say) => (drawn.length === 0 ? "" : `<h2>${markup(say("charts"))}</h2><p class="note">${markup(say("zoomHint"))}</p>`))}
<div class="charts">${boxes.join("\n")}</div>
${inBoth((content) => content.details.map(tableHtml).join("\n"))}
</main>
<script>${echartsSource()}</script>
<script>const CHARTS = ${scriptJson(charts)};
${PAGE_SCRIPT}</script>
</body>
</html>
`;
}

function heading({ title, subtitle, notices }: PageContent): string {
  const lines = notices.map(({ text, tone }) => `<p class="notice ${tone}">${markup(text)}</p>`);
  return `<h1>${markup(title)}</h1>\n<p class="note">${markup(subtitle)}</p>\n${lines.join("\n")}\n`;
}

function tableHtml(table: Table): string {
  const { title, head, rows, note } = table;
  const body = head.length === 0 ? factsHtml(rows) : figuresHtml(head, rows);
  const under = note === undefined ? "" : `<p class="note">${markup(note)}</p>`;
  return `<section><h2>${markup(title)}</h2>${body}${under}</section>`;
}

function factsHtml(rows: Table["rows"]): string {
  const facts = rows.map(
    ([name, value]) =>
      `<div><dt>${markup(name?.text ?? "")}</dt><dd class="${value?.tone}">${markup(value?.text ?? "")}</dd></div>`,
  );
  return `<dl>${facts.join("\n")}</dl>`;
}

function figuresHtml(head: Table["head"], rows: Table["rows"]): string {
  const names = head.map((name) => `<th>${markup(name)}</th>`).join("");
  const lines = rows.map((row) => `<tr>${row.map(cellHtml).join("")}</tr>`).join("\n");
  return `<div class="wide"><table><thead><tr>${names}</tr></thead><tbody>${lines}</tbody></table></div>`;
}

function cellHtml({ text, tone }: Cell): string {
  return tone === "plain" ? `<td>${markup(text)}</td>` : `<td class="${tone}">${markup(text)}</td>`;
}

/** The names of endpoints and the words of errors come from the server: nothing of them may become markup. */
function markup(text: string): string {
  const entities: Readonly<Record<string, string>> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
  };
  return text.replace(/[&<>"]/g, (character) => entities[character] ?? character);
}

function scriptJson(value: unknown): string {
  return JSON.stringify(value).replaceAll("<", "\\u003c");
}

/** Line charts, legends, tooltips and zoom; three quarters of the whole library's size less. */
function echartsSource(): string {
  const path = fileURLToPath(import.meta.resolve("#assets/echarts.cjs"));
  return readFileSync(path, "utf8").replaceAll("</script", "<\\/script");
}
