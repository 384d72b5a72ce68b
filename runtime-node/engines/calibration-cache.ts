import { createHash } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { Calibration } from "./calibrate.ts";

const positive = z.number().positive();
const calibrationSchema = z.object({
  threads: z.int().min(1),
  prefillThreads: z.int().min(1),
  decodeTokensPerSecond: positive,
  prefillTokensPerSecond: positive,
});

/** Calibrations on disk, one file each, named by what they depend on. */
export interface CalibrationCache {
  /** Undefined when there is none, or none that can be read. */
  read(key: readonly unknown[]): Promise<Calibration | undefined>;
  /** Rejects when it can't be written. */
  write(key: readonly unknown[], calibration: Calibration): Promise<void>;
}

export function createCalibrationCache(directory: string): CalibrationCache {
  const pathOf = (key: readonly unknown[]) => {
    const hash = createHash("sha256").update(JSON.stringify(key)).digest("hex");
    return join(directory, `calibration-${hash.slice(0, 32)}.json`);
  };

  return {
    read: async (key) => {
      try {
        return calibrationSchema.parse(JSON.parse(await readFile(pathOf(key), "utf8")));
      } catch {
        return undefined; // Never measured, or not ours: it is measured again.
      }
    },
    write: async (key, calibration) => {
      const path = pathOf(key);
      const unfinished = `${path}.${process.pid}`;
      await mkdir(directory, { recursive: true });
      await writeFile(unfinished, `${JSON.stringify(calibration, null, 2)}\n`);
      await rename(unfinished, path);
    },
  };
}
