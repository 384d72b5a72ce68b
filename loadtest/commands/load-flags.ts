import { type Command, Option } from "commander";
import { parseSlo, type Slo } from "../analyze/slo.ts";
import { InputError } from "../exit.ts";
import type { Language } from "../report/words.ts";
import type { SessionOptions } from "../session.ts";
import { readTarget } from "../target.ts";
import { durationMs, integer } from "./flags.ts";
import { languageOption } from "./report-flags.ts";

/** What all commands that drive a load have. */
export interface LoadFlags {
  readonly model?: string;
  readonly apiKey?: string;
  readonly header: readonly string[];
  readonly maxTokens?: number;
  readonly prefix?: boolean;
  readonly seed: number;
  readonly warmup?: number;
  readonly timeout: number;
  readonly slo: readonly string[];
  readonly pid?: number;
  readonly out?: string;
  readonly lang: Language;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

const LOCAL = "http://127.0.0.1:8000";

/** The target, and these flags. */
export function addLoadFlags(command: Command): Command {
  const collect = (text: string, before: readonly string[]): string[] => [...before, text];
  return command
    .argument("[target]", "the server, such as https://example.com or https://example.com/v1", LOCAL)
    .option("--model <id>", "model (default: the first that the server lists)")
    .addOption(new Option("--api-key <key>", "bearer token").env("OPENAI_API_KEY"))
    .option("--header <name:value>", "sent with every request; may be repeated", collect, [])
    .option("--max-tokens <count>", "of chat answers, instead of the profile's", integer(1))
    .option("--prefix", "let prompts repeat, so that the server's prefix cache takes part")
    .option("--seed <number>", "same seed, same requests", integer(0, 0x7fffffff), 1)
    .option("--warmup <duration>", "at the start, driven but not measured", durationMs)
    .option(
      "--timeout <duration>",
      "to the headers, between two reads, and for answers after the end",
      durationMs,
      120_000,
    )
    .option("--slo <objective>", "such as ttft_p95=500ms or success=95%; may be repeated", collect, [])
    .option("--pid <pid>", "the server's process, if it is on this machine: its CPU and memory", integer(1))
    .option("--out <dir>", "the run's folder (default: loadtest-results/<command>-<time>)")
    .addOption(languageOption())
    .option("--json", "print the result as JSON to stdout, and nothing else there")
    .option("--quiet", "no progress");
}

/** Throws `InputError` for what commander's own parsers can't see. `slos`: the profile's; flags come on top. */
export function sessionOptions(
  command: SessionOptions["command"],
  target: string,
  flags: LoadFlags,
  slos: readonly Slo[],
): SessionOptions {
  const headers: Record<string, string> = Object.fromEntries(flags.header.map(readHeader));
  if (flags.apiKey !== undefined) headers.authorization ??= `Bearer ${flags.apiKey}`;
  return {
    command,
    target: readTarget(target, headers),
    model: flags.model ?? null,
    maxTokens: flags.maxTokens ?? null,
    hasSharedPrefixes: flags.prefix === true,
    seed: flags.seed,
    timeoutMs: flags.timeout,
    slos: [...slos, ...flags.slo.map(readSlo)],
    pid: flags.pid ?? null,
    out: flags.out ?? null,
    language: flags.lang,
    isJson: flags.json === true,
    isQuiet: flags.quiet === true,
  };
}

function readHeader(text: string): [string, string] {
  const [, name, value] = /^([\w-]+):\s*(.*)$/.exec(text) ?? [];
  if (name === undefined || value === undefined)
    throw new InputError(`--header ${JSON.stringify(text)} has not the form name:value`);
  return [name.toLowerCase(), value];
}

function readSlo(text: string): Slo {
  const parsed = parseSlo(text);
  if (parsed.ok) return parsed.slo;
  throw new InputError(`--slo: ${parsed.problem}`);
}
