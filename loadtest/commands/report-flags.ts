import { InvalidArgumentError, Option } from "commander";

/** What every command that writes for people has. */
export function languageOption(): Option {
  return new Option("--lang <language>", "of tables and of the page when it opens")
    .choices(["en", "zh"])
    .default("en");
}

/** Of comparisons. */
export function deltaOption(): Option {
  return new Option("--delta <percent>", "the least difference that matters")
    .argParser(share)
    .default(0.05, "5%");
}

/** `5%`, as a share: a flag's parser. */
export function share(text: string): number {
  const [, digits] = /^(\d+(?:\.\d+)?)\s*%$/.exec(text.trim()) ?? [];
  const value = Number(digits) / 100;
  if (value > 0 && value <= 1) return value;
  throw new InvalidArgumentError(
    `${JSON.stringify(text)} is no share; write a percentage above 0 such as 5%.`,
  );
}
