import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { InputError } from "../exit.ts";
import { type Result, resultSchema } from "../result.ts";

/** The result that a run left in a folder. Rejects with an `InputError`. */
export async function readResult(dir: string): Promise<Result> {
  const path = join(dir, "result.json");
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    throw new InputError(`${path} can't be read; name a folder that a run wrote with --out`, { cause });
  }
  const parsed = resultSchema.safeParse(jsonOf(text, path));
  if (parsed.success) return parsed.data;
  throw new InputError(`${path} is no result that this version can read:\n${z.prettifyError(parsed.error)}`);
}

function jsonOf(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new InputError(`${path} is no JSON: the run may have been cut off while writing`, { cause });
  }
}
