import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Command, InvalidArgumentError, Option } from "commander";
import { type PairsOutcome, runPairs } from "../ab.ts";
import { LEAST_PAIRS, overall } from "../analyze/pairs.ts";
import { readCalibration } from "../calibration-store.ts";
import { type Contender, createContender } from "../contender.ts";
import { EXIT } from "../exit.ts";
import { readProfile } from "../profile.ts";
import { noticeText, tableText } from "../report/console.ts";
import { duelPage } from "../report/duel.ts";
import { type Language, type Say, speak } from "../report/words.ts";
import { writePage } from "../report/write.ts";
import { readTarget, targetText } from "../target.ts";
import { durationMs, integer } from "./flags.ts";
import { deltaOption, languageOption } from "./report-flags.ts";

interface AbFlags {
  readonly a: string;
  readonly b: string;
  readonly pairs: number | "auto";
  /** ms. */
  readonly slice: number;
  /** 0 to 1. */
  readonly delta: number;
  readonly concurrency: number;
  readonly profile: string;
  readonly model?: string;
  readonly apiKey?: string;
  readonly seed: number;
  readonly timeout: number;
  readonly out?: string;
  readonly lang: Language;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

export function configureAb(command: Command): void {
  command
    .requiredOption("--a <url>", "the one to compare with")
    .requiredOption("--b <url>", "the one to judge")
    .option(
      "--pairs <count>",
      `${LEAST_PAIRS} or more, or auto: until the intervals fit within --delta`,
      pairs,
      "auto",
    )
    .addOption(
      new Option("--slice <duration>", "how long each is measured in a pair")
        .argParser(durationMs)
        .default(10_000, "10s"),
    )
    .addOption(deltaOption())
    .option("--concurrency <count>", "streams at once", integer(1), 8)
    .option("--profile <name|file>", "what is asked; its think times play no part", "chat")
    .option("--model <id>", "model (default: the first that each server lists)")
    .addOption(new Option("--api-key <key>", "bearer token").env("OPENAI_API_KEY"))
    .option("--seed <number>", "same seed, same requests and order", integer(0, 0x7fffffff), 1)
    .addOption(
      new Option("--timeout <duration>", "to the headers, and between two reads")
        .argParser(durationMs)
        .default(120_000, "2min"),
    )
    .option("--out <dir>", "write ab.json, report.html and charts/*.png there")
    .addOption(languageOption())
    .option("--json", "print the comparison as JSON, and nothing else")
    .option("--quiet", "no progress")
    .action(ab);
}

async function ab(flags: AbFlags): Promise<void> {
  const stop = new AbortController();
  const onSignal = () => (stop.signal.aborted ? process.exit(EXIT.interrupted) : stop.abort());
  process.on("SIGINT", onSignal).on("SIGTERM", onSignal);
  try {
    const a = await contender(flags.a, flags, stop.signal);
    const b = await contender(flags.b, flags, stop.signal);
    const outcome = await runPairs({
      ...flags,
      signal: stop.signal,
      measure: (side, pair) => (side === "a" ? a : b).measure(pair),
      onPair(done, wanted) {
        if (flags.quiet !== true) process.stderr.write(`pair ${done} of ${wanted}\n`);
      },
    });
    await report(a, b, outcome, flags);
    process.exitCode = stop.signal.aborted ? EXIT.interrupted : exitCodeOf(outcome);
  } finally {
    process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
  }
}

async function contender(url: string, flags: AbFlags, signal: AbortSignal): Promise<Contender> {
  return createContender({
    ...flags,
    target: readTarget(url, flags.apiKey === undefined ? {} : { authorization: `Bearer ${flags.apiKey}` }),
    model: flags.model ?? null,
    profile: await readProfile(flags.profile),
    sliceMs: flags.slice,
    timeoutMs: flags.timeout,
    calibration: await readCalibration(),
    signal,
  });
}

async function report(a: Contender, b: Contender, outcome: PairsOutcome, flags: AbFlags): Promise<void> {
  const page = (say: Say) => duelPage({ ...flags, sliceMs: flags.slice, a, b, outcome }, say);
  const json = `${JSON.stringify(jsonOf(a, b, outcome, flags), null, 2)}\n`;
  if (flags.out !== undefined) {
    await mkdir(flags.out, { recursive: true });
    await writeFile(join(flags.out, "ab.json"), json);
    await writePage(flags.out, page, { language: flags.lang });
  }
  const { summary, notices } = page(speak(flags.lang));
  const text = `${summary.map(tableText).join("\n")}\n${notices.map(noticeText).join("\n")}\n`;
  process.stdout.write(flags.json === true ? json : text);
}

function jsonOf(a: Contender, b: Contender, { ratios, dropped, ...slices }: PairsOutcome, flags: AbFlags) {
  const side = ({ target, model, tally, objections }: Contender) => ({
    target: targetText(target),
    model,
    ...tally,
    objections: Object.fromEntries(objections),
  });
  return {
    a: side(a),
    b: side(b),
    plan: { sliceMs: flags.slice, delta: flags.delta, concurrency: flags.concurrency, seed: flags.seed },
    isValid: slices.a.length >= LEAST_PAIRS,
    overall: overall(ratios),
    ratios,
    dropped,
    slices,
  };
}

function exitCodeOf({ a, ratios }: PairsOutcome): number {
  if (a.length < LEAST_PAIRS) return EXIT.invalid;
  return ratios.some(({ verdict }) => verdict === "worse") ? EXIT.sloBroken : EXIT.held;
}

function pairs(text: string): number | "auto" {
  if (text === "auto") return text;
  if (/^\d+$/.test(text) && Number(text) >= LEAST_PAIRS) return Number(text);
  throw new InvalidArgumentError(`${JSON.stringify(text)} is not allowed; auto, or ${LEAST_PAIRS} or more.`);
}
