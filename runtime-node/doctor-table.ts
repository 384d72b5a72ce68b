import { styleText } from "node:util";
import type { Report, Row } from "./doctor.ts";

const MARKS: Readonly<Record<Row["state"], string>> = { ok: "ok", warn: "warn", fail: "FAIL" };

/** The report as a table for a terminal; plain text where it has no colours. */
export function doctorTable({ canServe, rows }: Report): string {
  const width = Math.max(...rows.map(({ check }) => check.length));
  const lines = rows.flatMap(({ check, state, found, todo }) => {
    const [first = "", ...more] = found.split("\n");
    const indent = " ".repeat(width + 10);
    return [
      `  ${coloured(state)}  ${check.padEnd(width)}  ${first}`,
      ...more.map((line) => `${indent}${line}`),
      ...(todo === undefined ? [] : [`${indent}${styleText("dim", `-> ${todo}`)}`]),
    ];
  });
  return [
    ...lines,
    "",
    `  ${canServe ? "Sluice can serve here." : "Sluice can't serve here: see FAIL above."}`,
    "",
  ].join("\n");
}

function coloured(state: Row["state"]): string {
  const mark = MARKS[state].padEnd(4);
  switch (state) {
    case "ok":
      return styleText("green", mark);
    case "warn":
      return styleText("yellow", mark);
    case "fail":
      return styleText("red", mark);
    default:
      return state satisfies never;
  }
}
