import type { KeyOwner } from "./directory.ts";
import type { Limits, Scope } from "./ledger.ts";

/** Who is asking, and who pays. */
export interface Principal {
  readonly account: string;
  /** Null where the server is open. */
  readonly keyId: string | null;
  /** The account's balance must cover every request. */
  readonly isPrepaid: boolean;
  /** Models that may be asked for, by key and account; null: all. */
  readonly models: readonly string[] | null;
  /** The account's; its key's win. */
  readonly labels: Readonly<Record<string, string>>;
  /** Every limit there is, of single models too. */
  allScopes(): readonly Scope[];
  /** Every limit that a request for a model of these names counts against; those without limits are left out. */
  scopesFor(names: ReadonlySet<string>): readonly Scope[];
}

/** Everybody, while there is not a single key. */
export const OPEN_PRINCIPAL: Principal = {
  account: "open",
  keyId: null,
  isPrepaid: false,
  models: null,
  labels: {},
  allScopes: () => [],
  scopesFor: () => [],
};

export function principalOf({ key, account }: KeyOwner): Principal {
  const scopesOfAll: readonly Scope[] = [
    { name: "account", limits: account.limits },
    { name: `key:${key.id}`, limits: key.limits },
  ];
  const scopesOfModel = (model: string): readonly Scope[] => [
    { name: `model:${model}`, limits: limitsOf(account.modelLimits, model) },
    { name: `key:${key.id}/model:${model}`, limits: limitsOf(key.modelLimits, model) },
  ];
  return {
    account: account.id,
    keyId: key.id,
    isPrepaid: account.isPrepaid,
    models: bothAllow(account.models, key.models),
    labels: { ...account.labels, ...key.labels },
    allScopes: () => {
      const models = new Set([...Object.keys(account.modelLimits), ...Object.keys(key.modelLimits)]);
      return limited([...scopesOfAll, ...[...models].flatMap(scopesOfModel)]);
    },
    scopesFor: (names) => limited([...scopesOfAll, ...[...names].flatMap(scopesOfModel)]),
  };
}

export function mayAsk({ models }: Principal, model: string): boolean {
  return models === null || models.includes(model);
}

function bothAllow(a: readonly string[] | null, b: readonly string[] | null): readonly string[] | null {
  if (a === null || b === null) return a ?? b;
  return a.filter((model) => b.includes(model));
}

function limited(scopes: readonly Scope[]): readonly Scope[] {
  return scopes.filter(({ limits }) => Object.values(limits).some((limit) => limit !== undefined));
}

function limitsOf(modelLimits: Readonly<Record<string, Limits>>, model: string): Limits {
  return Object.hasOwn(modelLimits, model) ? (modelLimits[model] ?? {}) : {};
}
