import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { RequestRecord } from "./record.ts";
import type { Language } from "./report/words.ts";
import { writeReport } from "./report/write.ts";
import type { Result } from "./result.ts";

/** The folder of one run. */
export interface Output {
  readonly folder: string;
  record(record: RequestRecord): void;
  /** Writes everything that is made from the result. */
  finish(result: Result, language: Language): Promise<void>;
}

/** Lines are put together to this size before they are written: fewer, larger writes disturb the run less. */
const BUFFER_BYTES = 256 * 1024;

/** Makes the folder, and opens `requests.jsonl` in it. */
export async function openOutput(folder: string): Promise<Output> {
  await mkdir(folder, { recursive: true });
  const lines = createWriteStream(join(folder, "requests.jsonl"), { highWaterMark: BUFFER_BYTES });
  await once(lines, "open");
  let failure: Error | undefined;
  lines.on("error", (error) => {
    failure = error;
  });
  let pending = "";
  return {
    folder,
    record(record) {
      pending += `${JSON.stringify(record)}\n`;
      if (pending.length < BUFFER_BYTES) return;
      lines.write(pending);
      pending = "";
    },
    async finish(result, language) {
      lines.end(pending);
      if (failure === undefined) await once(lines, "close");
      if (failure !== undefined) throw failure;
      await writeFile(join(folder, "result.json"), `${JSON.stringify(result, null, 1)}\n`);
      await writeFile(join(folder, "monitor.json"), `${JSON.stringify(result.monitor)}\n`);
      await writeReport(folder, result, { language });
    },
  };
}
