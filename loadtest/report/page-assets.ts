/** Wide tables scroll in their own box, so that the page itself never does; charts stand in two columns or one. */
export const PAGE_STYLE = `
:root { --ink: #1f2933; --muted: #5b6773; --line: #e4e7eb; --good: #1b7a3d; --bad: #c62828; --warn: #9a6700; }
* { box-sizing: border-box; }
body { margin: 0; background: #f5f7fa; color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "PingFang SC", "Microsoft YaHei",
    "Noto Sans CJK SC", "WenQuanYi Zen Hei", sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 20px 16px 48px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 96px 4px 0; }
h2 { font-size: 18px; margin: 28px 0 8px; }
.note { color: var(--muted); margin: 6px 0; overflow-wrap: anywhere; }
.notice { margin: 8px 0; padding: 9px 14px; border-left: 5px solid; border-radius: 4px; background: #fff;
  font-weight: 600; white-space: pre-line; overflow-wrap: anywhere; }
.good { color: var(--good); } .bad { color: var(--bad); font-weight: 600; } .warn { color: var(--warn); }
.muted { color: var(--muted); }
/* A shadow at the side where there is more of the table. */
.wide { overflow-x: auto; background:
  linear-gradient(to left, #fff 30%, #fff0) 100% / 48px 100% no-repeat local,
  linear-gradient(to left, #1f293338, #1f293300) 100% / 16px 100% no-repeat scroll, #fff; border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 12px; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { color: var(--muted); font-weight: 600; }
tr:last-child td { border-bottom: 0; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: #fff; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 280px), 1fr)); gap: 1px; margin: 0;
  background: #fff; border: 1px solid var(--line); border-radius: 6px; overflow: hidden; }
dl > div { padding: 7px 12px; box-shadow: 0 0 0 1px var(--line); }
dt { color: var(--muted); font-size: 13px; }
dd { margin: 0; font-weight: 600; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 520px), 1fr)); gap: 14px; }
.chart { height: 380px; min-width: 0; background: #fff; border: 1px solid var(--line); border-radius: 6px; }
#language { position: absolute; top: 20px; right: max(16px, calc((100vw - 1240px) / 2 + 16px)); padding: 5px 12px;
  border: 1px solid var(--line); border-radius: 4px; background: #fff; color: inherit; font: inherit; cursor: pointer; }
.text { display: none; }
html[lang="en"] .text[lang="en"], html[lang="zh"] .text[lang="zh"] { display: block; }
@media (max-width: 560px) {
  h1 { font-size: 22px; }
  table, dd { font-size: 13px; }
  th, td { padding: 6px 8px; }
  td:first-child, th:first-child { white-space: normal; min-width: 108px; }
  dl > div { display: flex; justify-content: space-between; gap: 12px; }
  dt { flex: 0 1 45%; } dd { text-align: right; }
}
@media print { #language { display: none; } body { background: #fff; } .chart { break-inside: avoid; } }
`;

/** Draws CHARTS[language] and draws them anew when the language changes; resizes with the window. */
export const PAGE_SCRIPT = `
const root = document.documentElement;
const number = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
const drawn = CHARTS.en.map(({ id }) =>
  echarts.init(document.getElementById("chart-" + id), { textStyle: { fontFamily: getComputedStyle(document.body).fontFamily } }));
function draw() {
  CHARTS[root.lang].forEach(({ option }, at) => {
    drawn[at].setOption(option, true);
    drawn[at].setOption({
      tooltip: { valueFormatter: (value) => (typeof value === "number" ? number.format(value) : "–") },
      toolbox: { right: 8, bottom: -8, itemSize: 13, emphasis: { iconStyle: { textPosition: "top" } }, feature: {
        dataZoom: { yAxisIndex: false, title: root.lang === "zh" ? { zoom: "框选放大", back: "还原" } : { zoom: "zoom", back: "zoom back" } },
        saveAsImage: { title: root.lang === "zh" ? "保存图片" : "save as picture", pixelRatio: 2 } } },
    });
  });
}
document.getElementById("language").addEventListener("click", () => {
  root.lang = root.lang === "en" ? "zh" : "en";
  draw();
});
new ResizeObserver(() => drawn.forEach((chart) => chart.resize())).observe(document.querySelector(".charts"));
draw();
`;
