import type { ConcurrencyResult, ModelResult, SpeedResult, Spread } from "./bench.ts";
import type { Hardware } from "./hardware.ts";
import { tableText } from "./report/console.ts";
import { type Cell, figure, plain, toned } from "./report/tables.ts";

/** What a bench leaves behind, as JSON. */
export interface BenchReport {
  readonly schemaVersion: 1;
  /** UTC, ISO 8601. */
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly target: string;
  readonly model: string;
  readonly versions: { readonly sluice: string; readonly node: string };
  /** Of this client's machine. */
  readonly platform: { readonly system: string; readonly machine: string; readonly cpuModel: string };
  /** Of the server's machine; null where nobody can tell. */
  readonly hardware: Hardware | null;
  readonly runs: number;
  /** Null: not asked for, as the others. */
  readonly speed: Readonly<Record<string, SpeedResult>> | null;
  readonly concurrency: readonly ConcurrencyResult[] | null;
  readonly models: Readonly<Record<string, ModelResult>> | null;
  /** Each way of failing, with its count. */
  readonly failures: Readonly<Record<string, number>>;
}

/** For a terminal. */
export function benchText(report: BenchReport): string {
  const { hardware, speed, concurrency, models, failures } = report;
  const parts = [
    hardware === null ? "hardware: unknown; name the server's with --hardware" : hardwareText(hardware),
    ...(speed === null ? [] : [speedTable(speed)]),
    ...(concurrency === null ? [] : [concurrencyTable(concurrency)]),
    ...(models === null ? [] : [modelTable(models)]),
    ...Object.entries(failures).map(([error, count]) => `failed ${count} times: ${error}`),
  ];
  return `${parts.join("\n")}\n`;
}

function hardwareText({ profile, device, engine, memory, found }: Hardware): string {
  const typical = `hardware: ${profile} (${device}, ${engine}, such as ${memory})`;
  if (found === null) return typical;
  const gib = (bytes: number) => `${(bytes / 1024 ** 3).toFixed(0)} GiB`;
  const gpus = found.gpus.map((gpu) =>
    gpu.memoryBytes === null ? gpu.name : `${gpu.name} ${gib(gpu.memoryBytes)}`,
  );
  const machine = [`${found.cpu}, ${found.cores} cores, ${gib(found.memoryBytes)}`, ...gpus].join("; ");
  return `${typical}\n  found: ${machine}\n  engine: ${found.choice.engine}. ${found.choice.reason}`;
}

function speedTable(results: Readonly<Record<string, SpeedResult>>): string {
  return tableText({
    title: "Speed, one answer at a time: tokens a second over the whole answer",
    head: ["", "max_tokens", "runs", "failed", "mean", "median", "min", "max", "decode", "TTFT ms", "tokens"],
    rows: Object.entries(results).map(([name, result]) => [
      plain(name),
      plain(String(result.maxTokens)),
      plain(String(result.requests)),
      failed(result.failures),
      ...spreadCells(result.tokensPerSecond),
      plain(amount(result.decodeTokensPerSecond?.mean)),
      plain(amount(result.ttftMs?.mean)),
      plain(amount(result.completionTokens?.mean)),
    ]),
  });
}

function concurrencyTable(results: readonly ConcurrencyResult[]): string {
  return tableText({
    title: "Concurrency: so many requests at once",
    head: ["at once", "success %", "mean response ms", "requests/s", "tokens/s"],
    rows: results.map((result) => [
      plain(String(result.concurrency)),
      toned(figure(result.successPercent), result.failures === 0 ? "good" : "bad"),
      plain(amount(result.meanResponseMs)),
      plain(figure(result.requestsPerSecond)),
      plain(figure(result.tokensPerSecond)),
    ]),
  });
}

function modelTable(results: Readonly<Record<string, ModelResult>>): string {
  const entries = Object.entries(results);
  const own = entries.find(([, { isThisModel }]) => isThisModel)?.[0];
  return tableText({
    title: "Model profiles: tokens a second",
    head: ["", "max_tokens", "failed", "mean", "median", "min", "max", "expected", ""],
    rows: entries.map(([name, result]) => [
      plain(name === own ? `${name} (this model)` : name),
      plain(String(result.maxTokens)),
      failed(result.failures),
      ...spreadCells(result.tokensPerSecond),
      plain(`≥ ${result.expectedTokensPerSecond}`),
      result.isMet ? toned("met", "good") : toned("not met", name === own ? "bad" : "warn"),
    ]),
    ...(own === undefined
      ? { note: "The model's name doesn't tell its size: read the line that is about it." }
      : {}),
  });
}

function spreadCells(spread: Spread | null): Cell[] {
  return [spread?.mean, spread?.median, spread?.min, spread?.max].map((value) => plain(amount(value)));
}

function failed(count: number): Cell {
  return toned(String(count), count === 0 ? "muted" : "bad");
}

function amount(value: number | null | undefined): string {
  return value === null || value === undefined ? "–" : figure(value);
}
