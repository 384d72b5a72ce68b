import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type Command, InvalidArgumentError, Option } from "commander";
import { EXPORT_FORMATS, type ExportFormat, exportReceipts } from "../../shared/receipt-export.ts";
import { CONFIG_OPTION, type StoreFlags, useStore } from "./use-store.ts";

interface ExportFlags extends StoreFlags {
  readonly format: ExportFormat;
  readonly account?: string;
  readonly from?: number;
  readonly to?: number;
}

export function configureLedger(ledger: Command): void {
  ledger
    .command("verify")
    .description(
      "prove that credited = available + held + spent, a receipt a request, over all that is kept; exit 1 where it doesn't hold",
    )
    .option(...CONFIG_OPTION)
    .action(verify);
  ledger
    .command("export")
    .description("print all receipts, oldest first")
    .addOption(new Option("--format <format>").choices(EXPORT_FORMATS).default("csv"))
    .option("--account <id>", "of this account alone")
    .option("--from <time>", "settled then or later, ISO 8601", toMoment)
    .option("--to <time>", "settled before, ISO 8601", toMoment)
    .option(...CONFIG_OPTION)
    .action(exportAll);
}

async function verify(flags: StoreFlags): Promise<void> {
  await useStore(flags, async ({ store: { books } }) => {
    const breaches = await books.verify();
    for (const breach of breaches) process.stdout.write(`${breach}\n`);
    const seen = `accounts looked at: ${(await books.accounts()).length}`;
    process.stdout.write(
      breaches.length === 0
        ? `The ledger holds (${seen})\n`
        : `The ledger does not hold (breaches: ${breaches.length}, ${seen})\n`,
    );
    process.exitCode = breaches.length === 0 ? 0 : 1;
  });
}

async function exportAll({ format, account, from, to, ...flags }: ExportFlags): Promise<void> {
  await useStore(flags, async ({ store: { books } }) => {
    const pages = exportReceipts(books, { account, from, to }, format);
    // The stream ends with the process, not with the pipeline: stdout is not ours to close.
    await pipeline(Readable.from(pages), process.stdout, { end: false });
  });
}

function toMoment(text: string): number {
  const ms = Date.parse(text);
  if (Number.isFinite(ms)) return ms;
  throw new InvalidArgumentError("Write a date such as 2026-11-30 or 2026-11-30T12:00:00Z.");
}
