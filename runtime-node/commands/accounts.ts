import { randomUUID } from "node:crypto";
import type { Command } from "commander";
import { accountOf, newAccount, toWireAccount, toWireBalance } from "../../shared/grant.ts";
import { formatUsd, parseUsd } from "../../shared/money.ts";
import { parseBody } from "../../shared/openai/schemas.ts";
import { InputError } from "../input-error.ts";
import { addGrantOptions, type GrantFlags, grantBody } from "./grant-options.ts";
import {
  CONFIG_OPTION,
  JSON_OPTION,
  type OpenedStore,
  printJson,
  printTable,
  type StoreFlags,
  useStore,
} from "./use-store.ts";

export function configureAccounts(accounts: Command): void {
  addGrantOptions(
    accounts
      .command("create <id>")
      .description("make an account, or set all of one that is there")
      .option("--prepaid", "its balance must cover every request"),
  )
    .option(...CONFIG_OPTION)
    .option(...JSON_OPTION)
    .action(create);
  accounts
    .command("list")
    .description("all accounts with their balances, those of the configuration too")
    .option(...CONFIG_OPTION)
    .option(...JSON_OPTION)
    .action(list);
  accounts
    .command("show <id>")
    .description("an account with its balance")
    .option(...CONFIG_OPTION)
    .option(...JSON_OPTION)
    .action(show);
  accounts
    .command("credit <id> <usd>")
    .description("add US dollars to what an account may spend; negative takes back (after `--`)")
    .option("--id <id>", "the credit's own id: given again, it changes nothing (default: a new one)")
    .option(...CONFIG_OPTION)
    .option(...JSON_OPTION)
    .action(credit);
}

async function create(
  id: string,
  flags: StoreFlags & GrantFlags & { readonly prepaid?: boolean },
): Promise<void> {
  const asked = parseBody(newAccount, { id, prepaid: flags.prepaid === true, ...grantBody(flags) });
  await useStore(flags, async (opened) => {
    if (opened.config.accounts.some((account) => account.id === id))
      throw new InputError(`The account ${id} is set in the configuration; change it there.`);
    await opened.directory.putAccount(accountOf(asked, Date.now()));
    await print(opened, id, flags);
  });
}

async function show(id: string, flags: StoreFlags): Promise<void> {
  await useStore(flags, (opened) => print(opened, id, flags));
}

async function list(flags: StoreFlags): Promise<void> {
  await useStore(flags, async ({ directory, store }) => {
    const accounts = [];
    for (const account of await directory.accounts())
      accounts.push({
        ...toWireAccount(account),
        balance: toWireBalance(await store.ledger.balance(account.id)),
      });
    if (flags.json === true) return printJson(accounts);
    printTable(
      ["ID", "PAYS", "AVAILABLE", "HELD", "SPENT", "CREDITED"],
      accounts.map(({ id, prepaid, balance }) => [
        id,
        prepaid ? "before" : "later",
        balance.available_usd,
        balance.held_usd,
        balance.spent_usd,
        balance.credited_usd,
      ]),
    );
  });
}

async function credit(id: string, usd: string, flags: StoreFlags & { readonly id?: string }): Promise<void> {
  const amountNanoUsd = parseUsd(usd);
  if (amountNanoUsd === undefined || amountNanoUsd === 0)
    throw new InputError(
      `${usd} is no amount of US dollars; allowed: a number with at most nine decimals, other than 0`,
    );
  await useStore(flags, async (opened) => {
    await accountNamed(opened, id);
    const result = await opened.store.ledger.credit(id, { id: flags.id ?? randomUUID(), amountNanoUsd });
    if (!result.ok)
      throw new InputError(
        `Only ${formatUsd(result.availableNanoUsd)} US dollars of ${id} are available to be taken back.`,
      );
    if (result.isRepeat) process.stderr.write(`The credit ${flags.id} was given before: nothing changed\n`);
    await print(opened, id, flags);
  });
}

async function print(opened: OpenedStore, id: string, flags: StoreFlags): Promise<void> {
  const account = toWireAccount(await accountNamed(opened, id));
  const balance = toWireBalance(await opened.store.ledger.balance(id));
  if (flags.json === true) return printJson({ ...account, balance });
  process.stdout.write(
    `${id} pays ${account.prepaid ? "before" : "later"}: ${balance.available_usd} US dollars available, ${balance.held_usd} held, ${balance.spent_usd} spent, ${balance.credited_usd} credited\n`,
  );
}

async function accountNamed({ directory }: OpenedStore, id: string) {
  const account = await directory.account(id);
  if (account === undefined)
    throw new InputError(`There is no account ${id}; \`sluice accounts list\` shows all.`);
  return account;
}
