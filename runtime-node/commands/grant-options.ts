import { type Command, InvalidArgumentError } from "commander";

/** What `keys create` and `accounts create` grant; `grantBody` makes the admin API's body of it. */
export interface GrantFlags {
  readonly models?: readonly string[];
  readonly rpm?: number;
  readonly tpm?: number;
  readonly concurrent?: number;
  readonly monthlyUsd?: number;
  readonly totalUsd?: number;
  readonly label?: Readonly<Record<string, string>>;
}

export function addGrantOptions(command: Command): Command {
  return command
    .option("--models <names>", "models that may be asked for, separated by commas (default: all)", toList)
    .option("--rpm <n>", "requests a minute", toNumber)
    .option("--tpm <n>", "tokens a minute", toNumber)
    .option("--concurrent <n>", "requests at the same time", toNumber)
    .option("--monthly-usd <amount>", "US dollars a calendar month (UTC)", toNumber)
    .option("--total-usd <amount>", "US dollars ever", toNumber)
    .option("--label <name=value>", "a word of your own, shown with it; may be repeated", addLabel);
}

export function grantBody(flags: GrantFlags) {
  return {
    models: flags.models ?? null,
    limits: {
      requests_per_minute: flags.rpm,
      tokens_per_minute: flags.tpm,
      concurrent_requests: flags.concurrent,
      monthly_usd: flags.monthlyUsd,
      total_usd: flags.totalUsd,
    },
    labels: flags.label ?? {},
  };
}

function toNumber(text: string): number {
  const number = Number(text);
  if (text.trim() === "" || !Number.isFinite(number)) throw new InvalidArgumentError("It is no number.");
  return number;
}

function toList(text: string): readonly string[] {
  return text
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
}

function addLabel(text: string, labels: Readonly<Record<string, string>> = {}) {
  const at = text.indexOf("=");
  if (at < 1) throw new InvalidArgumentError("Write it as name=value.");
  return { ...labels, [text.slice(0, at)]: text.slice(at + 1) };
}
