import type { Command } from "commander";
import { keyOf, newKey, toWireKey } from "../../shared/grant.ts";
import { parseBody } from "../../shared/openai/schemas.ts";
import { InputError } from "../input-error.ts";
import { addGrantOptions, type GrantFlags, grantBody } from "./grant-options.ts";
import { CONFIG_OPTION, JSON_OPTION, printJson, printTable, type StoreFlags, useStore } from "./use-store.ts";

interface CreateFlags extends StoreFlags, GrantFlags {
  readonly account: string;
  readonly expires?: string;
}

export function configureKeys(keys: Command): void {
  addGrantOptions(
    keys
      .command("create")
      .description("make a key and print it: this once, it is kept as a hash")
      .option("--account <id>", "the account that pays", "default")
      .option("--expires <time>", "when it ends, ISO 8601"),
  )
    .option(...CONFIG_OPTION)
    .option(...JSON_OPTION)
    .action(create);
  keys
    .command("list")
    .description("all keys, those of the configuration too")
    .option("--account <id>", "of this account alone")
    .option(...CONFIG_OPTION)
    .option(...JSON_OPTION)
    .action(list);
  keys
    .command("revoke <id>")
    .description("refuse a key from now on")
    .option(...CONFIG_OPTION)
    .action(revoke);
}

async function create(flags: CreateFlags): Promise<void> {
  const body = { account: flags.account, expires: flags.expires ?? null, ...grantBody(flags) };
  const asked = parseBody(newKey, body);
  await useStore(flags, async ({ directory }) => {
    const { key, record } = await keyOf(asked, Date.now());
    await directory.createKey(record);
    if (flags.json === true) return printJson({ ...toWireKey(record), key });
    process.stderr.write(
      `${record.id} of account ${record.account}; the key is shown this once and kept nowhere:\n`,
    );
    process.stdout.write(`${key}\n`);
  });
}

async function list(flags: StoreFlags & { readonly account?: string }): Promise<void> {
  await useStore(flags, async ({ directory }) => {
    const keys = (await directory.keys(flags.account)).map(toWireKey);
    if (flags.json === true) return printJson(keys);
    printTable(
      ["ID", "ENDS WITH", "ACCOUNT", "MODELS", "CREATED", "STATE"],
      keys.map((key) => [
        key.id,
        key.hint,
        key.account,
        key.models?.join(",") ?? "all",
        key.created_at ?? "in the configuration",
        stateOf(key),
      ]),
    );
  });
}

function stateOf({ revoked_at, expires }: ReturnType<typeof toWireKey>): string {
  if (revoked_at !== null) return `revoked ${revoked_at}`;
  if (expires === null) return "active";
  return Date.parse(expires) <= Date.now() ? `expired ${expires}` : `active until ${expires}`;
}

async function revoke(id: string, flags: StoreFlags): Promise<void> {
  await useStore(flags, async ({ config, directory }) => {
    if (config.keys.some((key) => key.id === id))
      throw new InputError(`The key ${id} is set in the configuration; remove it there.`);
    if (!(await directory.revokeKey(id, Date.now())))
      throw new InputError(`There is no key ${id}; \`sluice keys list\` shows all.`);
    process.stdout.write(`${id} is refused from now on\n`);
  });
}
