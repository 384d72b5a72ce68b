import { readFile } from "node:fs/promises";
import { z } from "zod";
import { InputError } from "./exit.ts";
import { integer, randomFor } from "./random.ts";
import type { Message } from "./workload.ts";

const line = z.looseObject({
  /** ms from the trace's start, as in Mooncake's traces. */
  timestamp: z.number().min(0),
  prompt: z.string().optional(),
  /** A conversation: each turn is sent when the answer before it is there, with all that was said. */
  turns: z.array(z.string()).min(1).optional(),
  /** Between an answer and the next turn. */
  think_ms: z.number().min(0).default(0),
  max_tokens: z.number().int().positive().optional(),
  /** The same in Mooncake's traces, which have lengths instead of texts. */
  output_length: z.number().int().positive().optional(),
  input_length: z.number().int().positive().optional(),
});

/** One conversation of a trace; of one turn, mostly. */
export interface Conversation {
  /** From the trace's start. */
  readonly atMs: number;
  readonly turns: readonly string[];
  readonly thinkMs: number;
  readonly maxTokens: number;
}

const DEFAULT_MAX_TOKENS = 128;

/** Sorted by time, starting at 0. Rejects with an `InputError` that names the line. */
export async function readTrace(file: string): Promise<readonly Conversation[]> {
  const text = await readFile(file, "utf8").catch((cause: unknown) => {
    throw new InputError(`can't read the trace ${file}: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    });
  });
  const conversations = text
    .split("\n")
    .flatMap((row, at) => (row.trim() === "" ? [] : [readLine(row, file, at + 1)]))
    .sort((a, b) => a.atMs - b.atMs);
  const first = conversations[0];
  if (first === undefined) throw new InputError(`${file} has no lines; write one JSON object a request`);
  return conversations.map((each) => ({ ...each, atMs: each.atMs - first.atMs }));
}

function readLine(row: string, file: string, number: number): Conversation {
  const place = `${file}:${number}`;
  const parsed = line.safeParse(jsonOf(row));
  if (!parsed.success)
    throw new InputError(
      `${place}: ${parsed.error.issues.map(({ path, message }) => `${path.join(".") || "line"}: ${message}`).join("; ")}`,
    );
  const { timestamp, prompt, turns, think_ms, max_tokens, output_length, input_length } = parsed.data;
  const lengths = input_length === undefined ? undefined : filler(input_length, number);
  const said = turns ?? [prompt ?? lengths].filter((text) => text !== undefined);
  if (said.length === 0) throw new InputError(`${place}: it has neither prompt, turns nor input_length`);
  const maxTokens = max_tokens ?? output_length ?? DEFAULT_MAX_TOKENS;
  return { atMs: timestamp, turns: said, thinkMs: think_ms, maxTokens };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // The schema refuses it, with the line.
  }
}

const WORDS = "time year people way day man thing woman life child world school state family student".split(
  " ",
);

/** Words that are a token each for most models, the same for the same seed. */
export function filler(tokens: number, seed: number): string {
  const random = randomFor(seed);
  return Array.from({ length: tokens }, () => WORDS[integer(random, 0, WORDS.length - 1)]).join(" ");
}

/** `count` prefixes of `tokens` words that prompts share: the nth conversation has the (n mod count)th. */
export interface PrefixGroups {
  readonly count: number;
  readonly tokens: number;
}

/** What a conversation begins with; nothing without groups. The nonce keeps earlier runs out of the cache. */
export function prefixOf(
  groups: PrefixGroups | null,
  n: number,
  seed: number,
  nonce: string | null,
): readonly Message[] {
  if (groups === null) return [];
  const group = n % groups.count;
  const mark = nonce === null ? "" : `[${nonce}-${group}] `;
  return [{ role: "system", content: mark + filler(groups.tokens, seed + group) }];
}
