import { checkSlos, figuresOf, requestLimits, type Slo } from "./analyze/slo.ts";
import { isOverSaturated } from "./analyze/steady.ts";
import { monotonicMs } from "./clock.ts";
import type { Drive, Fire } from "./driver.ts";
import { createHistogram } from "./histogram.ts";
import { recordOf } from "./latencies.ts";
import type { RequestRecord } from "./record.ts";
import { createRecorder } from "./recorder.ts";
import { createClient } from "./request.ts";
import type { Calibration, Result, SeriesPoint } from "./result.ts";
import { createSeries } from "./series.ts";
import { judge } from "./verdict.ts";
import { createWatch } from "./watch.ts";
import { createWindow } from "./window.ts";

/** One load on one server, to be measured. */
export interface Job {
  /** Scheme, host and port. */
  readonly origin: string;
  readonly pathPrefix: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly drive: Drive;
  /** The first part of it that is not measured. */
  readonly warmupMs: number;
  /** For headers and between two reads; also how long answers are waited for after the end. */
  readonly timeoutMs: number;
  readonly slos: readonly Slo[];
  readonly calibration: Calibration | null;
  /** Of a sweep: which step it is, and the moment (by `monotonicMs`) that its records and series count from. */
  readonly step?: { readonly index: number; readonly zeroAt: number };
}

export interface MeasureHooks {
  /** Ends the run early: what was measured until then is the result. */
  readonly signal?: AbortSignal;
  onRecord?(record: RequestRecord): void;
  onSecond?(point: SeriesPoint): void;
  /** Mean of the machine's CPU since a moment (Unix ms), for objectives on it. */
  cpuPercentSince?(since: number): number | undefined;
}

export type Measured = Pick<
  Result,
  | "startedAt"
  | "finishedAt"
  | "monotonicStartNs"
  | "window"
  | "wasInterrupted"
  | "isSteady"
  | "achieved"
  | "verdict"
  | "aggregated"
  | "endpoints"
  | "failures"
  | "goodput"
  | "slo"
  | "series"
> & { readonly serverName: string | null };

/** Between the making of everything and the first request. */
const LEAD_MS = 50;

/**
 * Drives the load and measures it. Latencies are of the requests that were due in the window, each followed to its
 * end; throughput is what arrived in the window. Without a window (the run was too short for one) they are of
 * everything, and the verdict says so.
 */
export async function measure(job: Job, hooks: MeasureHooks = {}): Promise<Measured> {
  const { origin, pathPrefix, headers, timeoutMs, drive } = job;
  const { users, connections, durationMs } = drive;
  const client = createClient({ origin, pathPrefix, connections, headers, timeoutMs });
  const limits = requestLimits(job.slos);
  const recorders = { warmup: createRecorder(limits), measured: createRecorder(limits) };
  const series = createSeries();
  const slip = createHistogram();
  const watch = createWatch();
  const stop = new AbortController();
  const startAt = monotonicMs() + LEAD_MS;
  const zeroAt = job.step?.zeroAt ?? startAt;
  const startedAt = Date.now() + LEAD_MS;
  const endAt = startAt + (durationMs ?? Number.POSITIVE_INFINITY);
  const earliestAt = startAt + job.warmupMs;
  const window = createWindow({ earliestAt, endAt, users, onOpen: watch.startWindow });
  let inFlight = 0;
  let sent = 0;
  let serverName: string | null = null;

  const fire: Fire = async (call, intendedAt, user) => {
    const { method, name, maxTokens } = call;
    window.tryOpen(intendedAt);
    const phase = window.phaseOf(intendedAt);
    const n = sent++;
    const onTokens = (tokens: number, at: number): void => {
      series.countTokens(tokens);
      const arrival = window.phaseOf(at);
      if (arrival !== "cooldown") recorders[arrival].countTokens(call, tokens);
    };
    inFlight++;
    const answer = await client.send(call, intendedAt, { onTokens });
    inFlight--;
    serverName ??= answer.serverName;
    const place = { n, user, point: job.step?.index ?? null, phase, method, name, maxTokens, zeroAt };
    const record = recordOf(answer, place);
    if (answer.stream === null && record.tokens !== null) onTokens(record.tokens.completion, answer.endAt);
    // Ended by an interrupt: neither a success nor the server's failure.
    if (record.failure !== "aborted") {
      if (phase !== "cooldown") recorders[phase].add(record, answer);
      const ended = window.phaseOf(answer.endAt);
      if (ended !== "cooldown") recorders[ended].end(record, answer);
      series.add(record);
    }
    hooks.onRecord?.(record);
    return answer;
  };

  function closeSecond(): void {
    const now = monotonicMs();
    window.tryOpen(now);
    const point = series.close({
      second: (now - zeroAt) / 1000,
      at: Date.now(),
      phase: window.phaseOf(now),
      users: users === null ? inFlight : window.users,
      inFlight,
      tokenRatio: recorders.measured.tokenRatio(),
      client: watch.second(),
    });
    hooks.onSecond?.(point);
  }

  function interrupt(): void {
    window.close(monotonicMs());
    stop.abort();
    client.abort("aborted");
  }

  if (hooks.signal?.aborted === true) interrupt();
  hooks.signal?.addEventListener("abort", interrupt, { once: true });
  const ticker = setInterval(closeSecond, 1000);
  const graceMs = durationMs === null ? undefined : LEAD_MS + durationMs + timeoutMs;
  const grace = graceMs === undefined ? undefined : setTimeout(() => client.abort("timeout_idle"), graceMs);
  const onSlip = (ms: number): void => {
    if (window.phaseOf(monotonicMs()) === "measured") slip.record(ms);
  };
  try {
    await drive.run({ fire, startAt, endAt, signal: stop.signal, onUsers: window.onUsers, onSlip });
  } finally {
    clearInterval(ticker);
    clearTimeout(grace);
    hooks.signal?.removeEventListener("abort", interrupt);
  }
  window.close(monotonicMs());
  closeSecond();
  const reading = watch.window();
  watch.stop();
  await client.close();

  const span = window.span();
  const measuredFrom = span?.startAt ?? startAt;
  const startMs = measuredFrom - zeroAt;
  const endMs = (span?.endAt ?? Math.min(endAt, monotonicMs())) - zeroAt;
  const recorder = span === null ? recorders.warmup : recorders.measured;
  const figures = recorder.figures({ startMs, endMs, thinkMs: drive.thinkMs });
  const { aggregated, goodput } = figures;
  const points = series.points.filter(({ phase }) => phase === (span === null ? "warmup" : "measured"));
  const cpuPercent = hooks.cpuPercentSince?.(startedAt + measuredFrom - startAt);
  const hasWindow = span !== null;
  const slipP99Ms = users === null ? slip.percentile(99) : null;
  return {
    startedAt: new Date(startedAt).toISOString(),
    finishedAt: new Date().toISOString(),
    monotonicStartNs: String(Math.round(zeroAt * 1e6)),
    window: hasWindow ? { startMs, endMs } : null,
    wasInterrupted: hooks.signal?.aborted === true,
    isSteady: users !== null || !isOverSaturated(points.map(loadOf)),
    achieved: {
      inFlight: points.reduce((sum, point) => sum + point.inFlight, 0) / Math.max(1, points.length),
      requestsPerSecond: (1000 * aggregated.requests) / Math.max(1, endMs - startMs),
    },
    verdict: judge({ client: reading, aggregated, slipP99Ms, calibration: job.calibration, hasWindow }),
    ...figures,
    slo: checkSlos(job.slos, figuresOf(aggregated, goodput, cpuPercent)),
    series: [...series.points],
    serverName,
  };
}

function loadOf({ inFlight, ttft, e2e }: SeriesPoint) {
  return { inFlight, ttftMs: ttft?.p50 ?? e2e?.p50 };
}
