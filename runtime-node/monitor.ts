import type { Clock } from "../functions/deps.ts";
import type { ProcessReading } from "./monitor-process.ts";
import {
  type GpuSample,
  hostReadings,
  type QuickReading,
  type Readings,
  type SlowReading,
} from "./monitor-readings.ts";

export interface Sample {
  /** Unix ms. */
  readonly at: number;
  /** Of all CPUs of the machine, 0 to 100. The first sample's is since boot. */
  readonly cpuPercent: number;
  /** Of one CPU: two busy ones are 200. The first sample's is since the process started. Null when it has ended. */
  readonly processCpuPercent: number | null;
  readonly rssBytes: number | null;
  /** Within the limit: the machine's memory, or the container's where that is lower. */
  readonly memoryUsedBytes: number;
  readonly memoryLimitBytes: number;
  readonly memoryPercent: number;
  /** Of the file system that holds `diskPath`. */
  readonly diskUsedBytes: number | null;
  readonly diskTotalBytes: number | null;
  readonly diskPercent: number | null;
  /** Unknown in the first sample. */
  readonly receivedBytesPerSecond: number | null;
  readonly sentBytesPerSecond: number | null;
  readonly gpus: readonly GpuSample[];
}

/** The mean of every figure over the samples that have it; `gpus` as last seen, with their means. */
export interface Average extends Omit<Sample, "at"> {
  readonly samples: number;
}

export interface Monitor {
  /** The latest sample; takes the first one when there is none yet. */
  current(): Promise<Sample>;
  /** Over the last `minutes`, as far as the window reaches; undefined before the first sample. */
  average(minutes: number): Average | undefined;
  /** The samples in the window, oldest first. */
  history(): readonly Sample[];
  stop(): void;
}

export interface MonitorOptions {
  readonly clock?: Clock;
  readonly intervalMs?: number;
  /** How many samples are kept. */
  readonly window?: number;
  readonly readings?: Readings;
  /** Whose process figures, together with all it started; this process alone when left out. */
  readonly pid?: number;
}

const SYSTEM_CLOCK: Clock = { now: () => Date.now(), monotonic: () => performance.now() };

/** nvidia-smi and the tools outside Linux cost tens of milliseconds of CPU: at 1 s it would be more than 1 %. */
const SLOW_EVERY = 10;

/**
 * Samples the machine and this process in the background until `stop`; its timer keeps no process alive.
 *
 * @example
 * const monitor = createMonitor();
 * const { cpuPercent } = await monitor.current();
 */
export function createMonitor(options: MonitorOptions = {}): Monitor {
  const { clock = SYSTEM_CLOCK, intervalMs = 1000, window = 300, pid } = options;
  const { readings = hostReadings(undefined, undefined, pid) } = options;
  const samples: Sample[] = [];
  let slow: SlowReading = {};
  let slowInFlight: Promise<void> | undefined;
  let previous: { readonly reading: QuickReading; readonly monotonic: number } | undefined;
  let ticks = 0;

  function readSlow(): Promise<void> {
    slowInFlight ??= readings
      .slow()
      .then((reading) => {
        slow = reading;
      })
      .catch(() => {}) // A figure that can't be read now stays as it was.
      .finally(() => {
        slowInFlight = undefined;
      });
    return slowInFlight;
  }

  function take(): Sample {
    const reading = readings.quick();
    const monotonic = clock.monotonic();
    const sample = toSample(clock.now(), reading, slow, previous, monotonic);
    previous = { reading, monotonic };
    samples.push(sample);
    if (samples.length > window) samples.shift();
    return sample;
  }

  function tick(): void {
    if (ticks++ % SLOW_EVERY === 0) void readSlow();
    try {
      take();
    } catch {
      // Out of file descriptors, the system tells nothing: one sample less, not the end of the process.
    }
  }

  const timer = setInterval(tick, intervalMs);
  timer.unref();
  return {
    async current() {
      const latest = samples.at(-1);
      if (latest !== undefined) return latest;
      await readSlow();
      return samples.at(-1) ?? take();
    },
    average(minutes) {
      const since = clock.now() - minutes * 60_000;
      return averageOf(samples.filter((sample) => sample.at > since));
    },
    history: () => [...samples],
    stop: () => clearInterval(timer),
  };
}

function toSample(
  at: number,
  reading: QuickReading,
  slow: SlowReading,
  previous: { readonly reading: QuickReading; readonly monotonic: number } | undefined,
  monotonic: number,
): Sample {
  const before = previous?.reading ?? { cpuBusy: 0, cpuTotal: 0, process: undefined, network: undefined };
  const elapsedMs = previous === undefined ? 0 : monotonic - previous.monotonic;
  const availableBytes = slow.memoryAvailableBytes ?? reading.memoryAvailableBytes;
  const memoryUsedBytes = Math.max(0, reading.memoryLimitBytes - availableBytes);
  const perSecond = (now: number | undefined, then: number | undefined) =>
    now === undefined || then === undefined ? undefined : ratio(Math.max(0, now - then), elapsedMs / 1000);
  const { network } = reading;
  return {
    at,
    cpuPercent: 100 * ratio(reading.cpuBusy - before.cpuBusy, reading.cpuTotal - before.cpuTotal),
    processCpuPercent:
      processCpuPercent(reading.process, before.process, elapsedMs) ?? slow.process?.cpuPercent ?? null,
    rssBytes: reading.process?.rssBytes ?? slow.process?.rssBytes ?? null,
    memoryUsedBytes,
    memoryLimitBytes: reading.memoryLimitBytes,
    memoryPercent: 100 * ratio(memoryUsedBytes, reading.memoryLimitBytes),
    diskUsedBytes: slow.disk?.usedBytes ?? null,
    diskTotalBytes: slow.disk?.totalBytes ?? null,
    diskPercent: slow.disk === undefined ? null : 100 * ratio(slow.disk.usedBytes, slow.disk.totalBytes),
    receivedBytesPerSecond:
      perSecond(network?.receivedBytes, before.network?.receivedBytes) ?? slow.receivedBytesPerSecond ?? null,
    sentBytesPerSecond:
      perSecond(network?.sentBytes, before.network?.sentBytes) ?? slow.sentBytesPerSecond ?? null,
    gpus: slow.gpus ?? [],
  };
}

/** Over the time since the sample before; since the process started where there is none. */
function processCpuPercent(
  now: ProcessReading | undefined,
  before: ProcessReading | undefined,
  elapsedMs: number,
): number | undefined {
  if (now === undefined) return undefined;
  if (before === undefined) return 100 * ratio(now.cpuMs, now.uptimeMs);
  // What a child had used goes when the child goes.
  return 100 * ratio(Math.max(0, now.cpuMs - before.cpuMs), elapsedMs);
}

function ratio(part: number, whole: number): number {
  return whole > 0 ? part / whole : 0;
}

function averageOf(samples: readonly Sample[]): Average | undefined {
  const latest = samples.at(-1);
  if (latest === undefined) return undefined;
  const mean = (read: (sample: Sample) => number | null | undefined): number | null => {
    const values = samples.map(read).filter((value) => typeof value === "number");
    return values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;
  };
  const always = (read: (sample: Sample) => number): number => mean(read) ?? 0;
  return {
    samples: samples.length,
    cpuPercent: always((sample) => sample.cpuPercent),
    processCpuPercent: mean((sample) => sample.processCpuPercent),
    rssBytes: mean((sample) => sample.rssBytes),
    memoryUsedBytes: always((sample) => sample.memoryUsedBytes),
    memoryLimitBytes: always((sample) => sample.memoryLimitBytes),
    memoryPercent: always((sample) => sample.memoryPercent),
    diskUsedBytes: mean((sample) => sample.diskUsedBytes),
    diskTotalBytes: mean((sample) => sample.diskTotalBytes),
    diskPercent: mean((sample) => sample.diskPercent),
    receivedBytesPerSecond: mean((sample) => sample.receivedBytesPerSecond),
    sentBytesPerSecond: mean((sample) => sample.sentBytesPerSecond),
    gpus: latest.gpus.map(({ name }, index) => ({
      name,
      utilizationPercent: mean((sample) => sample.gpus[index]?.utilizationPercent),
      memoryUsedBytes: mean((sample) => sample.gpus[index]?.memoryUsedBytes),
      memoryTotalBytes: mean((sample) => sample.gpus[index]?.memoryTotalBytes),
    })),
  };
}
