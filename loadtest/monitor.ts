import type { Average, Sample } from "../runtime-node/monitor.ts";
import { median } from "./median.ts";

/** The specification's limit for a server that doesn't leak: growth after its warm-up, over a run. */
export const MAX_GROWTH_BYTES = 100 * 1024 * 1024;

/** A single sample is a matter of luck: it takes as many to say anything. */
const STEADY_SAMPLES = 5;

export interface MemoryGrowth {
  readonly baselineBytes: number;
  readonly latestBytes: number;
  /** Below zero when memory was given back. */
  readonly growthBytes: number;
  readonly limitBytes: number;
  readonly isStable: boolean;
}

/** A moment of a process; `rssBytes` is null once it has ended. */
type MemorySample = Pick<Sample, "at" | "rssBytes">;

/**
 * The most that the process took by `until` (Unix ms), the end of its warm-up, or in as many samples as it takes;
 * undefined until those were taken. The most, since garbage collection makes a saw: here from 530 to 680 MiB with a period of a minute under
 * steady load, measured 2026-11-25. Read it while these samples are in the monitor's window, and keep it.
 */
export function memoryBaseline(samples: readonly MemorySample[], until: number): number | undefined {
  const warmingUp = bytesOf(samples.filter(({ at }) => at <= until)).length;
  const taken = bytesOf(samples).slice(0, Math.max(warmingUp, STEADY_SAMPLES));
  return taken.length < STEADY_SAMPLES ? undefined : Math.max(...taken);
}

/** What has come on top of the baseline, by the median of the last samples; undefined before the first one. */
export function memoryGrowth(
  baselineBytes: number,
  samples: readonly MemorySample[],
  limitBytes: number = MAX_GROWTH_BYTES,
): MemoryGrowth | undefined {
  const last = bytesOf(samples).slice(-STEADY_SAMPLES);
  if (last.length === 0) return undefined;
  const latestBytes = median(last);
  const growthBytes = latestBytes - baselineBytes;
  return { baselineBytes, latestBytes, growthBytes, limitBytes, isStable: growthBytes < limitBytes };
}

export interface MonitorExport {
  /** UTC, ISO 8601. */
  readonly exportedAt: string;
  /** Whose process figures the samples hold. */
  readonly pid: number;
  readonly average: (Average & { readonly minutes: number }) | null;
  /** Null where the run was over before there was a baseline. */
  readonly memory: MemoryGrowth | null;
  /** Oldest first: the last 300, a second apart. */
  readonly samples: readonly Sample[];
}

/** One line for a terminal. */
export function sampleLine(sample: Omit<Sample, "at">, whose = "process"): string {
  const figures = [
    `CPU ${percent(sample.cpuPercent)}`,
    `memory ${percent(sample.memoryPercent)} of ${gib(sample.memoryLimitBytes)}`,
    sample.diskPercent === null ? undefined : `disk ${percent(sample.diskPercent)}`,
    sample.receivedBytesPerSecond === null || sample.sentBytesPerSecond === null
      ? undefined
      : `network in ${kibPerSecond(sample.receivedBytesPerSecond)} out ${kibPerSecond(sample.sentBytesPerSecond)}`,
    ...sample.gpus.map(({ name, utilizationPercent, memoryUsedBytes }) => {
      const load = utilizationPercent === null ? "?" : percent(utilizationPercent);
      return `${name} ${load}${memoryUsedBytes === null ? "" : ` ${gib(memoryUsedBytes)}`}`;
    }),
    sample.rssBytes === null || sample.processCpuPercent === null
      ? undefined
      : `${whose} ${percent(sample.processCpuPercent)} of a core, ${mib(sample.rssBytes)}`,
  ];
  return figures.filter((figure) => figure !== undefined).join(" · ");
}

/** The growth check in words. */
export function growthLine({
  baselineBytes,
  latestBytes,
  growthBytes,
  limitBytes,
  isStable,
}: MemoryGrowth): string {
  const sign = growthBytes < 0 ? "−" : "+";
  const verdict = isStable ? "stable" : "GROWING";
  return `memory ${verdict}: ${mib(baselineBytes)} after warm-up, ${mib(latestBytes)} now, ${sign}${mib(Math.abs(growthBytes))} (limit ${mib(limitBytes)})`;
}

export function mib(bytes: number): string {
  return `${(bytes / 1024 ** 2).toFixed(1)} MiB`;
}

function gib(bytes: number): string {
  return `${(bytes / 1024 ** 3).toFixed(1)} GiB`;
}

function kibPerSecond(bytes: number): string {
  return `${(bytes / 1024).toFixed(0)} KiB/s`;
}

function percent(value: number): string {
  return `${value.toFixed(0)} %`;
}

function bytesOf(samples: readonly MemorySample[]): number[] {
  return samples.map(({ rssBytes }) => rssBytes).filter((bytes) => bytes !== null);
}
