import { mkdir, readFile, writeFile } from "node:fs/promises";
import { cpus, homedir } from "node:os";
import { dirname, join } from "node:path";
import { type Calibration, calibrationSchema } from "./result.ts";

/** One measurement for each CPU model and Node version. */
function fileOf(): string {
  const cache = process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache");
  const machine = `${cpuModel()}-${cpus().length}-${process.version}`.replaceAll(/[^\w.]+/g, "-");
  return join(cache, "sluice", `loadtest-${machine}.json`);
}

export function cpuModel(): string {
  return cpus()[0]?.model.trim() ?? "unknown CPU";
}

/** What `calibrate` measured on this machine; null when it never ran, or the file is from another version. */
export async function readCalibration(): Promise<Calibration | null> {
  try {
    return calibrationSchema.parse(JSON.parse(await readFile(fileOf(), "utf8")));
  } catch {
    return null; // Checks that need it are left out.
  }
}

export async function storeCalibration(calibration: Calibration): Promise<void> {
  const file = fileOf();
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, `${JSON.stringify(calibration, null, 2)}\n`);
}
