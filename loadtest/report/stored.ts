import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { type Result, resultSchema } from "../result.ts";

/** What is wrong with a folder someone named, in words for them. */
export class StoredRunError extends Error {
  override readonly name = "StoredRunError";
}

/** The result that a run left in a folder. Rejects with a `StoredRunError`. */
export async function readResult(dir: string): Promise<Result> {
  const path = join(dir, "result.json");
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    throw new StoredRunError(`${path} can't be read; name a folder that a run wrote with --out`, { cause });
  }
  const parsed = resultSchema.safeParse(jsonOf(text, path));
  if (parsed.success) return parsed.data;
  throw new StoredRunError(
    `${path} is no result that this version can read:\n${z.prettifyError(parsed.error)}`,
  );
}

function jsonOf(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new StoredRunError(`${path} is no JSON: the run may have been cut off while writing`, { cause });
  }
}
