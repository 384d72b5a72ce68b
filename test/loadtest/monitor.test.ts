import { describe, expect, it } from "vitest";
import { growthLine, memoryBaseline, memoryGrowth, sampleLine } from "../../loadtest/monitor.ts";

const MIB = 1024 ** 2;

/** A process seen every second from 0, at so many MiB. */
function memoryOf(...mib: readonly (number | null)[]) {
  return mib.map((value, second) => ({ at: second * 1000, rssBytes: value === null ? null : value * MIB }));
}

describe("the memory check", () => {
  it("takes for the baseline the most that the process took while it warmed up", () => {
    const samples = memoryOf(10, 300, 520, 480, 500, 490, 900);
    expect(memoryBaseline(samples, 5000)).toBe(520 * MIB);
  });

  it("takes its first samples for the warm-up where that is shorter than enough of them", () => {
    expect(memoryBaseline(memoryOf(300, 310, 520, 480, 500, 900), 2000)).toBe(520 * MIB);
  });

  it("has no baseline before there were enough samples", () => {
    expect(memoryBaseline(memoryOf(500, 500, 500, 500), 5000)).toBeUndefined();
    expect(memoryBaseline(memoryOf(500, null, null, null, null, null), 5000)).toBeUndefined();
  });

  it("calls a process stable that grew by less than 100 MiB, and growing from there on", () => {
    const grownBy = (mib: number) => memoryGrowth(200 * MIB, memoryOf(...Array(5).fill(200 + mib)));
    expect(grownBy(99)).toMatchObject({ growthBytes: 99 * MIB, isStable: true });
    expect(grownBy(100)).toMatchObject({ isStable: false });
    expect(grownBy(-150)).toMatchObject({ growthBytes: -150 * MIB, isStable: true });
  });

  it("doesn't take one sample before a collection for a leak", () => {
    expect(memoryGrowth(200 * MIB, memoryOf(210, 210, 650, 210, 210))).toMatchObject({ isStable: true });
  });

  it("judges a process that ended by what it had", () => {
    expect(memoryGrowth(200 * MIB, memoryOf(450, 450, 450, null, null))?.isStable).toBe(false);
    expect(memoryGrowth(200 * MIB, memoryOf(null, null))).toBeUndefined();
  });

  it("says what it found, with the limit", () => {
    const growth = memoryGrowth(200 * MIB, memoryOf(350, 350, 350, 350, 350));
    if (growth === undefined) return expect.unreachable();
    const line = "memory GROWING: 200.0 MiB after warm-up, 350.0 MiB now, +150.0 MiB (limit 100.0 MiB)";
    expect(growthLine(growth)).toBe(line);
  });
});

describe("a sample's line", () => {
  it("leaves out what the machine doesn't tell", () => {
    const line = sampleLine({
      cpuPercent: 41.6,
      processCpuPercent: null,
      rssBytes: null,
      memoryUsedBytes: 4 * 1024 * MIB,
      memoryLimitBytes: 16 * 1024 * MIB,
      memoryPercent: 25,
      diskUsedBytes: null,
      diskTotalBytes: null,
      diskPercent: null,
      receivedBytesPerSecond: null,
      sentBytesPerSecond: null,
      gpus: [
        { name: "L4", utilizationPercent: 93, memoryUsedBytes: 20 * 1024 * MIB, memoryTotalBytes: null },
      ],
    });
    expect(line).toBe("CPU 42 % · memory 25 % of 16.0 GiB · L4 93 % 20.0 GiB");
  });
});
