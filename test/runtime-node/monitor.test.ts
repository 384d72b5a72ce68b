import { spawn } from "node:child_process";
import { once } from "node:events";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createMonitor, type Monitor } from "../../runtime-node/monitor.ts";
import type { QuickReading, SlowReading } from "../../runtime-node/monitor-readings.ts";

const clock = { now: () => Date.now(), monotonic: () => performance.now() };

const AT_START: QuickReading = {
  cpuBusy: 300,
  cpuTotal: 1000,
  process: { cpuMs: 500, uptimeMs: 1000, rssBytes: 50_000 },
  memoryAvailableBytes: 750,
  memoryLimitBytes: 1000,
  network: { receivedBytes: 10_000, sentBytes: 1000 },
};

/** A machine on which, each second, as many hundredths of the CPUs are busy as seconds have passed. */
function createMachine() {
  let seconds = 0;
  let busy = AT_START.cpuBusy;
  return {
    slowReads: 0,
    isFailing: false,
    isAlive: true,
    disk: { usedBytes: 25, totalBytes: 100 },
    quick(): QuickReading {
      const reading = {
        ...AT_START,
        cpuBusy: busy,
        cpuTotal: AT_START.cpuTotal + seconds * 100,
        process: this.isAlive ? { cpuMs: 500 + seconds * 1500, uptimeMs: 1000, rssBytes: 50_000 } : undefined,
        network: { receivedBytes: 10_000 + seconds * 2000, sentBytes: 1000 + seconds * 100 },
      };
      seconds++;
      busy += seconds;
      return reading;
    },
    async slow(): Promise<SlowReading> {
      this.slowReads++;
      if (this.isFailing) throw new Error("the disk is gone");
      const gpu = { name: "L4", utilizationPercent: 40, memoryUsedBytes: null, memoryTotalBytes: 24 };
      return { disk: this.disk, gpus: [gpu] };
    },
  };
}

describe("the monitor", () => {
  let machine: ReturnType<typeof createMachine>;
  let monitor: Monitor;

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "Date", "performance"] });
    machine = createMachine();
    monitor = createMonitor({ clock, readings: machine, window: 5 });
  });

  afterEach(() => {
    monitor.stop();
    vi.useRealTimers();
  });

  it("takes the first sample when it is asked for: since boot, and since the process started", async () => {
    expect(monitor.average(5)).toBeUndefined();
    expect(await monitor.current()).toEqual({
      at: Date.now(),
      cpuPercent: 30,
      processCpuPercent: 50,
      rssBytes: 50_000,
      memoryUsedBytes: 250,
      memoryLimitBytes: 1000,
      memoryPercent: 25,
      diskUsedBytes: 25,
      diskTotalBytes: 100,
      diskPercent: 25,
      receivedBytesPerSecond: null,
      sentBytesPerSecond: null,
      gpus: [{ name: "L4", utilizationPercent: 40, memoryUsedBytes: null, memoryTotalBytes: 24 }],
    });
    expect(monitor.history()).toHaveLength(1);
  });

  it("then samples every second, each over the second before", async () => {
    await monitor.current();
    vi.advanceTimersByTime(3000);
    const sample = await monitor.current();
    expect(sample.cpuPercent).toBeCloseTo(3);
    expect(sample.processCpuPercent).toBeCloseTo(150);
    expect(sample.receivedBytesPerSecond).toBeCloseTo(2000);
    expect(sample.sentBytesPerSecond).toBeCloseTo(100);
    expect(monitor.history().map(({ at }) => Date.now() - at)).toEqual([3000, 2000, 1000, 0]);
  });

  it("keeps the latest samples, as many as the window has room for", async () => {
    vi.advanceTimersByTime(20_000);
    expect(monitor.history().map(({ cpuPercent }) => Math.round(cpuPercent))).toEqual([15, 16, 17, 18, 19]);
  });

  it("averages over the minutes asked for, as far as the window reaches", async () => {
    vi.advanceTimersByTime(20_000);
    expect(monitor.average(5)).toMatchObject({ samples: 5, rssBytes: 50_000 });
    expect(monitor.average(5)?.cpuPercent).toBeCloseTo(17);
    expect(monitor.average(2 / 60)).toMatchObject({ samples: 2 });
    expect(monitor.average(2 / 60)?.cpuPercent).toBeCloseTo(18.5);
  });

  it("averages a figure over the samples that have it", async () => {
    await monitor.current();
    vi.advanceTimersByTime(2000);
    expect(monitor.average(5)?.receivedBytesPerSecond).toBeCloseTo(2000);
    expect(monitor.average(5)?.gpus).toEqual([
      { name: "L4", utilizationPercent: 40, memoryUsedBytes: null, memoryTotalBytes: 24 },
    ]);
  });

  it("asks what is slow to tell every tenth time, and keeps it when it can't be told", async () => {
    await monitor.current();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(machine.slowReads).toBe(2);
    machine.isFailing = true;
    await vi.advanceTimersByTimeAsync(10_000);
    expect(machine.slowReads).toBe(3);
    expect(await monitor.current()).toMatchObject({ diskUsedBytes: 25 });
    machine.isFailing = false;
    machine.disk = { usedBytes: 50, totalBytes: 100 };
    await vi.advanceTimersByTimeAsync(10_000);
    expect(await monitor.current()).toMatchObject({ diskPercent: 50 });
  });

  it("knows nothing of a process that has ended, and averages over its life", async () => {
    await monitor.current();
    vi.advanceTimersByTime(1000);
    machine.isAlive = false;
    vi.advanceTimersByTime(2000);
    expect(await monitor.current()).toMatchObject({ processCpuPercent: null, rssBytes: null });
    expect(monitor.average(5)).toMatchObject({ processCpuPercent: 100, rssBytes: 50_000 });
  });

  it("takes no more samples after stop", () => {
    vi.advanceTimersByTime(2000);
    monitor.stop();
    vi.advanceTimersByTime(5000);
    expect(monitor.history()).toHaveLength(2);
  });
});

describe("the monitor on this machine", () => {
  it("tells of another process together with what it started, until it ends", async () => {
    // The child of the child holds 64 MiB that nobody else has.
    const hold = "const held = Buffer.alloc(64 << 20, 1); console.log('ready'); setInterval(() => held, 1e6)";
    const start = `require("node:child_process").spawn(process.execPath, ["-e", ${JSON.stringify(hold)}], { stdio: "inherit" })`;
    const child = spawn(process.execPath, ["-e", start], {
      stdio: ["ignore", "pipe", "inherit"],
      detached: true,
    });
    const { pid } = child;
    if (pid === undefined) throw new Error("The child did not start");
    const end = () => process.kill(process.platform === "win32" ? pid : -pid);
    await once(child.stdout, "data");
    const alive = createMonitor({ clock, pid });
    const { rssBytes, processCpuPercent } = await alive.current();
    alive.stop();
    end();
    await once(child, "close");
    expect(rssBytes).toBeGreaterThan(100 << 20);
    expect(processCpuPercent).toBeGreaterThan(0);

    const dead = createMonitor({ clock, pid });
    expect(await dead.current()).toMatchObject({ rssBytes: null, processCpuPercent: null });
    dead.stop();
  });

  it("tells CPU, memory and disk at once", async () => {
    const monitor = createMonitor({ clock });
    try {
      const sample = await monitor.current();
      expect(sample.cpuPercent).toBeGreaterThan(0);
      expect(sample.cpuPercent).toBeLessThanOrEqual(100);
      expect(sample.processCpuPercent).toBeGreaterThan(0);
      expect(sample.rssBytes).toBeGreaterThan(10_000_000);
      expect(sample.memoryUsedBytes).toBeGreaterThan(0);
      expect(sample.memoryUsedBytes).toBeLessThanOrEqual(sample.memoryLimitBytes);
      expect(sample.diskUsedBytes).toBeGreaterThan(0);
      expect(sample.diskPercent).toBeLessThanOrEqual(100);
    } finally {
      monitor.stop();
    }
  });
});
