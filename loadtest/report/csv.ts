import { stringify } from "csv-stringify/sync";
import type { Distribution, Result, Summary } from "../result.ts";

/**
 * Locust's three files with its columns and its habits, so that scripts made for it read ours: times are whole
 * milliseconds, empty figures of the history are `N/A`, the last line of the statistics is `Aggregated`. The exact
 * figures are in result.json.
 */
const PERCENTILES = [
  "50%",
  "66%",
  "75%",
  "80%",
  "90%",
  "95%",
  "98%",
  "99%",
  "99.9%",
  "99.99%",
  "100%",
] as const;

const STATS = [
  "Type",
  "Name",
  "Request Count",
  "Failure Count",
  "Median Response Time",
  "Average Response Time",
  "Min Response Time",
  "Max Response Time",
  "Average Content Size",
  "Requests/s",
  "Failures/s",
  ...PERCENTILES,
] as const;

const HISTORY = [
  "Timestamp",
  "User Count",
  "Type",
  "Name",
  "Requests/s",
  "Failures/s",
  ...PERCENTILES,
  "Total Request Count",
  "Total Failure Count",
  "Total Median Response Time",
  "Total Average Response Time",
  "Total Min Response Time",
  "Total Max Response Time",
  "Total Average Content Size",
] as const;

const FAILURES = ["Method", "Name", "Error", "Occurrences"] as const;

export function statsCsv({ endpoints, aggregated }: Result): string {
  return csv(STATS, [...endpoints, aggregated].map(statsLine));
}

/** One line a second, of all endpoints together: percentiles of the last 10 s, totals since the start. */
export function historyCsv({ series }: Result): string {
  return csv(
    HISTORY,
    series.map(({ at, users, requestsPerSecond, failuresPerSecond, e2e, total }) => [
      Math.round(at / 1000),
      users,
      "",
      "Aggregated",
      requestsPerSecond,
      failuresPerSecond,
      ...(e2e === null ? PERCENTILES.map(() => "N/A") : percentiles(e2e)),
      total.requests,
      total.failures,
      Math.round(total.p50),
      total.mean,
      total.min,
      total.max,
      total.meanBytes,
    ]),
  );
}

export function failuresCsv({ failures }: Result): string {
  return csv(
    FAILURES,
    failures.map(({ method, name, kind, error, occurrences }) => [
      method,
      name,
      `${kind}: ${error}`,
      occurrences,
    ]),
  );
}

function statsLine(summary: Summary): readonly (string | number)[] {
  const { e2e } = summary.metrics;
  return [
    summary.method,
    summary.name,
    summary.requests,
    summary.failures,
    Math.round(e2e?.p50 ?? 0),
    e2e?.mean ?? 0,
    e2e?.min ?? 0,
    e2e?.max ?? 0,
    summary.meanBytes,
    summary.requestsPerSecond,
    summary.failuresPerSecond,
    ...(e2e === undefined ? PERCENTILES.map(() => 0) : percentiles(e2e)),
  ];
}

function percentiles(of: Omit<Distribution, "count" | "min" | "mean" | "sd" | "hdr">): readonly number[] {
  const { p50, p66, p75, p80, p90, p95, p98, p99, p99_9, p99_99, max } = of;
  return [p50, p66, p75, p80, p90, p95, p98, p99, p99_9, p99_99, max].map(Math.round);
}

function csv(columns: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  return stringify([[...columns], ...rows.map((row) => [...row])]);
}
