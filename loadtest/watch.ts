import { readFileSync } from "node:fs";
import { PerformanceObserver, performance } from "node:perf_hooks";
import { correctForOmission, createHistogram, type Histogram } from "./histogram.ts";

/** How the client itself fared over a stretch of time. */
export interface ClientReading {
  readonly seconds: number;
  /** What 1 moment in 100 had to wait for the event loop, above its idle level, ms. */
  readonly lagP99Ms: number;
  /** 0 to 1. */
  readonly utilisation: number;
  /** Of one core. */
  readonly cpuPercent: number;
  readonly gcPercent: number;
  /** Share of the time in which this process was ready to run and had no CPU; null where the system doesn't tell. */
  readonly cpuWaitPercent: number | null;
  /** What a hypervisor took from this machine; null where the system doesn't tell. */
  readonly stealPercent: number | null;
}

export interface Watch {
  /** Since the last call. */
  second(): ClientReading;
  /** From now on for `window()`. */
  startWindow(): void;
  /** Since `startWindow`, or since the start. */
  window(): ClientReading;
  stop(): void;
}

/** A timer's p99 in a loop that does nothing: Node's whole milliseconds. */
const IDLE_LAG_MS = 1.2;
const PROBE_MS = 2;

interface Totals {
  readonly at: number;
  readonly loop: ReturnType<typeof performance.eventLoopUtilization>;
  readonly cpuMs: number;
  readonly gcMs: number;
  readonly waitMs: number | undefined;
  readonly steal: { readonly ticks: number; readonly all: number } | undefined;
}

/** Watches this process until `stop`. Reads little: two files a second, and a timer that fires every 2 ms. */
export function createWatch(): Watch {
  const secondLag = createHistogram(2);
  const windowLag = createHistogram(2);
  let due = performance.now() + PROBE_MS;
  const probe = (): void => {
    const now = performance.now();
    secondLag.record(now - due);
    windowLag.record(now - due);
    due = now + PROBE_MS;
    timer = setTimeout(probe, PROBE_MS).unref();
  };
  let timer = setTimeout(probe, PROBE_MS).unref();
  let gcMs = 0;
  const collections = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) gcMs += duration;
  });
  collections.observe({ entryTypes: ["gc"] });

  const totals = (): Totals => ({
    at: performance.now(),
    loop: performance.eventLoopUtilization(),
    cpuMs: cpuMs(),
    gcMs,
    waitMs: cpuWaitMs(),
    steal: stealTicks(),
  });
  let lastSecond = totals();
  let windowStart = lastSecond;

  return {
    second() {
      const now = totals();
      const reading = between(lastSecond, now, lagP99(secondLag));
      secondLag.reset();
      lastSecond = now;
      return reading;
    },
    startWindow() {
      windowLag.reset();
      windowStart = totals();
    },
    window() {
      return between(windowStart, totals(), lagP99(windowLag));
    },
    stop() {
      clearTimeout(timer);
      collections.disconnect();
    },
  };
}

function between(from: Totals, to: Totals, lagMs: number): ClientReading {
  const ms = Math.max(1, to.at - from.at);
  const { steal, waitMs } = to;
  const all = steal === undefined || from.steal === undefined ? 0 : steal.all - from.steal.all;
  return {
    seconds: ms / 1000,
    lagP99Ms: Math.max(0, lagMs - IDLE_LAG_MS),
    utilisation: performance.eventLoopUtilization(to.loop, from.loop).utilization,
    cpuPercent: (100 * (to.cpuMs - from.cpuMs)) / ms,
    gcPercent: (100 * (to.gcMs - from.gcMs)) / ms,
    cpuWaitPercent:
      waitMs === undefined || from.waitMs === undefined ? null : (100 * (waitMs - from.waitMs)) / ms,
    stealPercent:
      steal === undefined || from.steal === undefined || all === 0
        ? null
        : (100 * (steal.ticks - from.steal.ticks)) / all,
  };
}

/** A block of 200 ms is one late probe, but held up all that came in these 200 ms: those are put back. */
function lagP99(lag: Histogram): number {
  return lag.count === 0 ? 0 : correctForOmission(lag, PROBE_MS).percentile(99);
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Of the thread with the event loop, by Linux's scheduler: ready, but another had the CPU. */
function cpuWaitMs(): number | undefined {
  const [, waitedNs] = readText("/proc/self/schedstat")?.split(" ") ?? [];
  return waitedNs === undefined ? undefined : Number(waitedNs) / 1e6;
}

function stealTicks(): Totals["steal"] {
  const line = readText("/proc/stat")?.split("\n", 1)[0];
  const ticks = line?.trim().split(/\s+/).slice(1, 9).map(Number);
  if (ticks === undefined || ticks.length < 8) return undefined;
  return { ticks: ticks[7] ?? 0, all: ticks.reduce((sum, value) => sum + value, 0) };
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined; // Another system, or a kernel without it.
  }
}
