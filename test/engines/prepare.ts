import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { ensureVenv, type PackagedEngine, venvPath } from "./venvs.ts";

/** What the suites and the bench of the real engines need: installed engines, and the demo model as they read it. */
export interface Prepared {
  /** Directories of the virtual environments; an engine that could not be installed is missing. */
  readonly venvs: Readonly<Partial<Record<PackagedEngine, string>>>;
  /** The demo model: a Hugging Face directory, and a GGUF in f32 with the same numbers. */
  readonly hf: string;
  readonly f32: string;
}

/** For all installs together, in minutes: `.ci/run` must come to its end. */
const INSTALL_MINUTES = 20;
const DEMO = fileURLToPath(new URL("../../runtime-node/models/demo", import.meta.url));

/** Installs what isn't there yet. `onLine` hears why an engine is left out. */
export async function prepareEngines(
  names: readonly PackagedEngine[],
  onLine: (line: string) => void,
): Promise<Prepared | undefined> {
  const venvs: Partial<Record<PackagedEngine, string>> = {};
  const late = new Error(`not installed within ${INSTALL_MINUTES} minutes; another run goes on from there`);
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(late), INSTALL_MINUTES * 60_000);
  for (const name of names) {
    try {
      venvs[name] = await ensureVenv(name, onLine, limit.signal);
    } catch (error) {
      onLine(`${name} is left out: ${error instanceof Error ? error.message : error}`);
    }
  }
  clearTimeout(timer);
  const [any] = Object.values(venvs);
  // Whichever it is, it has what the export needs.
  return any === undefined ? undefined : { venvs, ...(await exportDemo(join(any, "bin", "python"))) };
}

/** What `run.ts` prepared, for the tests that it starts. */
export function readPrepared(): Prepared {
  return JSON.parse(readFileSync(process.env.SLUICE_ENGINES ?? "", "utf8"));
}

/** The shipped weights for the other engines, once for each version of them. */
async function exportDemo(python: string): Promise<Pick<Prepared, "hf" | "f32">> {
  const weights = readFileSync(join(DEMO, "sluice-demo.gguf"));
  const key = createHash("sha256").update(weights).digest("hex").slice(0, 12);
  const folder = join(venvPath("mlx"), "..", "..", `demo-${key}`);
  const [hf, f32] = [join(folder, "hf"), join(folder, "f32.gguf")];
  if (!existsSync(join(hf, "config.json")) || !existsSync(f32)) {
    mkdirSync(folder, { recursive: true });
    await promisify(execFile)(python, [join(DEMO, "export.py"), "--hf", hf, "--f32", f32]);
  }
  return { hf, f32 };
}
