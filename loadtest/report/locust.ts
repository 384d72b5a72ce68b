import { readFile } from "node:fs/promises";
import { InputError } from "../exit.ts";
import { type Drawing, thin } from "./drawing.ts";
import { figure, plain, type Table, toned } from "./tables.ts";
import type { Say } from "./words.ts";

/** What Locust's `--csv PREFIX` left behind; times in ms. */
export interface LocustRun {
  readonly endpoints: readonly LocustLine[];
  /** Locust's own total, or the lines added up where a file has none. */
  readonly aggregated: LocustLine;
  readonly failures: readonly {
    readonly method: string;
    readonly name: string;
    readonly error: string;
    readonly occurrences: number;
  }[];
  readonly drawing: Drawing;
}

export interface LocustLine {
  readonly method: string;
  readonly name: string;
  readonly requests: number;
  readonly failures: number;
  readonly requestsPerSecond: number;
  readonly mean: number;
  /** Undefined where nothing was asked. */
  readonly p50: number | undefined;
  readonly p95: number | undefined;
  readonly p99: number | undefined;
  readonly max: number;
}

type Row = ReadonlyMap<string, string>;

/**
 * Reads `PREFIX_stats.csv`, `PREFIX_stats_history.csv` and, where it is there, `PREFIX_failures.csv`. Rejects with
 * an `InputError` when one of the first two can't be read or lacks a column it needs.
 */
export async function readLocust(prefix: string): Promise<LocustRun> {
  const stats = rowsOf(await read(`${prefix}_stats.csv`)).map(lineOf);
  const history = rowsOf(await read(`${prefix}_stats_history.csv`));
  const failures = rowsOf(await readOptional(`${prefix}_failures.csv`)).map((row) => ({
    method: row.get("Method") ?? "",
    name: row.get("Name") ?? "",
    error: row.get("Error") ?? "",
    occurrences: Number(row.get("Occurrences")),
  }));
  const aggregated = stats.find(({ name }) => name === "Aggregated");
  if (aggregated === undefined) throw new InputError(`${prefix}_stats.csv has no line named Aggregated`);
  const endpoints = stats.filter((line) => line !== aggregated);
  return { endpoints, aggregated, failures, drawing: drawingOf(prefix, history) };
}

export function locustOverview({ aggregated }: LocustRun, say: Say): Table {
  const { requests, failures, requestsPerSecond, mean, p95, p99 } = aggregated;
  const lines: readonly (readonly [string, string])[] = [
    [say("requests"), String(requests)],
    [say("failures"), String(failures)],
    [say("successRate"), requests === 0 ? "–" : `${((1 - failures / requests) * 100).toFixed(2)} %`],
    [say("requestsPerSecond"), figure(requestsPerSecond)],
    [say("meanMs"), figure(mean)],
    ["p95 ms", known(p95)],
    ["p99 ms", known(p99)],
  ];
  return { title: say("overview"), head: [], rows: lines.map((line) => line.map(plain)) };
}

export function locustTables({ endpoints, aggregated, failures }: LocustRun, say: Say): readonly Table[] {
  const lines = [...endpoints, aggregated].map((line) => [
    plain(line === aggregated ? say("aggregated") : `${line.method} ${line.name}`),
    plain(String(line.requests)),
    toned(String(line.failures), line.failures > 0 ? "bad" : "plain"),
    ...[line.requestsPerSecond, line.mean, line.p50, line.p95, line.p99, line.max].map((value) =>
      plain(known(value)),
    ),
  ]);
  const times = [say("requestsPerSecond"), say("meanMs"), "p50", "p95", "p99", say("max")];
  const table = {
    title: say("endpoints"),
    head: [say("endpoint"), say("requests"), say("failures"), ...times],
    rows: lines,
  };
  if (failures.length === 0) return [table];
  const failed = failures.map(({ method, name, error, occurrences }) => [
    plain(`${method} ${name}`),
    toned(error, "bad"),
    plain(String(occurrences)),
  ]);
  return [
    table,
    { title: say("failureKinds"), head: [say("endpoint"), say("error"), say("occurrences")], rows: failed },
  ];
}

function known(value: number | undefined): string {
  return value === undefined ? "–" : figure(value);
}

function lineOf(row: Row): LocustLine {
  return {
    method: row.get("Type") ?? "",
    name: row.get("Name") ?? "",
    requests: number(row, "Request Count"),
    failures: number(row, "Failure Count"),
    requestsPerSecond: number(row, "Requests/s"),
    mean: number(row, "Average Response Time"),
    p50: optional(row, "50%"),
    p95: optional(row, "95%"),
    p99: optional(row, "99%"),
    max: number(row, "Max Response Time"),
  };
}

/** Of the lines for everything together: with `--csv-full-history` there is one an endpoint beside them. */
function drawingOf(name: string, history: readonly Row[]): Drawing {
  const rows = history.filter((row) => row.get("Name") === "Aggregated");
  const start = rows[0] === undefined ? 0 : number(rows[0], "Timestamp") - 1;
  const moments = rows.map((row) => ({
    second: number(row, "Timestamp") - start,
    phase: "measured" as const,
    users: number(row, "User Count"),
    inFlight: undefined,
    requestsPerSecond: number(row, "Requests/s"),
    failuresPerSecond: number(row, "Failures/s"),
    tokensPerSecond: undefined,
    p50: optional(row, "50%"),
    p95: optional(row, "95%"),
    p99: optional(row, "99%"),
    clientLagMs: undefined,
  }));
  return { name, moments: thin(moments), distributions: {}, points: [], highestHeld: undefined };
}

function number(row: Row, column: string): number {
  const text = row.get(column);
  const value = Number(text);
  if (text === undefined || text === "" || Number.isNaN(value))
    throw new InputError(
      `not Locust's CSV: column ${column} is ${text === undefined ? "missing" : JSON.stringify(text)}`,
    );
  return value;
}

function optional(row: Row, column: string): number | undefined {
  return row.get(column) === "N/A" ? undefined : number(row, column);
}

async function read(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new InputError(`${path} can't be read; Locust writes it with --csv`, { cause });
  }
}

async function readOptional(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch {
    return ""; // Locust writes it, but a run can be analysed without.
  }
}

/** RFC 4180: quoted cells may hold commas, quotes and line ends (error messages do). */
function rowsOf(text: string): readonly Row[] {
  const lines: string[][] = [[]];
  for (const [, quoted, bare = "", end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/g)) {
    lines.at(-1)?.push(quoted === undefined ? bare : quoted.replaceAll('""', '"'));
    if (end === "") break;
    if (end !== ",") lines.push([]);
  }
  const [head = [], ...rest] = lines;
  return rest
    .filter((cells) => cells.length > 1)
    .map((cells) => new Map(head.map((column, at) => [column, cells[at] ?? ""])));
}
