import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  type CalibrateOptions,
  calibrate,
  candidateThreads,
} from "../../../runtime-node/engines/calibrate.ts";
import { createCalibrationCache } from "../../../runtime-node/engines/calibration-cache.ts";

/** A machine on which a step takes so long; its clock runs only while it is measured. */
function machine(decodeMs: Record<number, number>, prefillMsPerToken: Record<number, number>) {
  const measured: string[] = [];
  let time = 0;
  const run = (name: string, threads: number, ms: number | undefined) => {
    if (measured.at(-1) !== `${name} ${threads}`) measured.push(`${name} ${threads}`);
    time += ms ?? 0;
    return Promise.resolve(ms ?? 0);
  };
  const probe = {
    decode: (threads: number) => run("decode", threads, decodeMs[threads]),
    prefill: (threads: number, tokens: number) =>
      run("prefill", threads, tokens * (prefillMsPerToken[threads] ?? 0)),
  };
  const measure = (options: Partial<CalibrateOptions> = {}) =>
    calibrate(probe, { cpuBudget: 8, isLarge: false, budgetMs: 10_000, now: () => time, ...options });
  return { measure, measured };
}

describe("calibrate", () => {
  it("keeps the fastest count for decode and for prefill, and how fast they are", async () => {
    const { measure } = machine({ 1: 8, 2: 5, 4: 4, 8: 6 }, { 1: 4, 2: 2, 4: 1, 8: 0.5 });
    expect(await measure()).toEqual({
      threads: 4,
      prefillThreads: 8,
      decodeTokensPerSecond: 250,
      prefillTokensPerSecond: 2000,
    });
  });

  it("takes fewer threads where more are hardly faster", async () => {
    const { measure } = machine({ 1: 5, 2: 4.9, 4: 4.8, 8: 4.8 }, { 1: 1, 2: 1, 4: 1, 8: 0.99 });
    expect(await measure()).toMatchObject({ threads: 1, prefillThreads: 1 });
  });

  it("goes no further once it gets much worse: threads that wait for each other cost seconds", async () => {
    const { measure, measured } = machine({ 1: 5, 2: 900, 4: 5000 }, { 1: 1, 2: 50 });
    expect(await measure()).toMatchObject({ threads: 1, prefillThreads: 1 });
    expect(measured).toEqual(["decode 1", "decode 2", "prefill 1", "prefill 2"]);
  });

  it("begins a large model with the most threads, and ends when its time is over", async () => {
    const decode = { 1: 2000, 2: 1000, 4: 520, 8: 300 };
    const { measure, measured } = machine(decode, { 1: 500, 2: 250, 4: 120, 8: 60 });
    expect(await measure({ isLarge: true, budgetMs: 1500 })).toMatchObject({ threads: 8, prefillThreads: 8 });
    expect(measured).toEqual(["decode 8", "decode 4", "prefill 8", "prefill 4"]);
  });

  it("measures each once when there is no time at all", async () => {
    const { measure } = machine({ 1: 5, 2: 1 }, { 1: 1, 2: 0.1 });
    expect(await measure({ budgetMs: 0 })).toMatchObject({ threads: 1, prefillThreads: 1 });
  });

  it("keeps configured counts, and only measures how fast they are", async () => {
    const { measure, measured } = machine({ 3: 10, 8: 1 }, { 1: 1, 5: 2, 8: 1 });
    expect(await measure({ threads: 3, prefillThreads: 5 })).toMatchObject({
      threads: 3,
      prefillThreads: 5,
      decodeTokensPerSecond: 100,
      prefillTokensPerSecond: 500,
    });
    expect(measured).toEqual(["decode 3", "prefill 5"]);
  });

  it.each([
    [0.5, [1]],
    [1, [1]],
    [2, [1, 2]],
    [6, [1, 2, 4, 6]],
    [16.9, [1, 2, 4, 8, 16]],
  ])("tries, of %d cores, %j", (budget, counts) => expect(candidateThreads(budget)).toEqual(counts));
});

describe("createCalibrationCache", () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "sluice-calibration-"));
  });
  afterEach(() => rm(directory, { recursive: true }));
  const calibration = {
    threads: 2,
    prefillThreads: 4,
    decodeTokensPerSecond: 10,
    prefillTokensPerSecond: 99.5,
  };

  it("gives back what was written for the same model and machine, and nothing for another", async () => {
    const cache = createCalibrationCache(join(directory, "not", "there", "yet"));
    expect(await cache.read(["model", "machine"])).toBeUndefined();
    await cache.write(["model", "machine"], calibration);
    expect(await cache.read(["model", "machine"])).toEqual(calibration);
    expect(await cache.read(["model", "other machine"])).toBeUndefined();
    expect(await cache.read(["other model", "machine"])).toBeUndefined();
  });

  it("takes a file that isn't one for none", async () => {
    const cache = createCalibrationCache(directory);
    await cache.write(["a"], calibration);
    const [name = ""] = await readdir(directory);
    for (const text of ["", "{}", '{"threads":0,"prefillThreads":1}']) {
      await writeFile(join(directory, name), text);
      expect(await cache.read(["a"])).toBeUndefined();
    }
  });
});
