import { styleText } from "node:util";
import Table from "cli-table3";
import type { Notice } from "./overview.ts";
import type { Cell, Table as Content, Tone } from "./tables.ts";

const STYLES = {
  plain: [],
  good: ["green"],
  bad: ["red", "bold"],
  warn: ["yellow"],
  muted: ["dim"],
} as const satisfies Record<Tone, readonly Parameters<typeof styleText>[0][]>;

/** Text for a terminal; colours only where one shows them. */
export function tableText({ title, head, rows, note }: Content): string {
  const table = new Table({
    head: [...head],
    colAligns: rows[0]?.map((_, at) => (at === 0 || head.length === 0 ? "left" : "right")) ?? [],
    style: { head: [], border: [], compact: true },
  });
  table.push(...rows.map((row) => row.map(cellText)));
  const parts = [
    styleText("bold", title),
    table.toString(),
    ...(note === undefined ? [] : [paint(note, "muted")]),
  ];
  return `${parts.join("\n")}\n`;
}

export function noticeText({ text, tone }: Notice): string {
  return paint(text, tone);
}

function cellText({ text, tone }: Cell): string {
  return paint(text, tone);
}

function paint(text: string, tone: Tone): string {
  return styleText([...STYLES[tone]], text);
}
