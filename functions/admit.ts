import type { CallReport } from "../shared/engine.ts";
import type { Hold, HoldResult } from "../shared/ledger.ts";
import { ApiError, modelNotAllowed, overloaded, unavailable } from "../shared/openai/errors.ts";
import { worstCaseNanoUsd } from "../shared/pricing.ts";
import { mayAsk, type Principal } from "../shared/principal.ts";
import { type Ask, callOf, completionBound } from "./ask.ts";
import type { Target } from "./backends/catalog.ts";
import type { Deps } from "./deps.ts";
import { rateHeaders, refusal } from "./refusal.ts";
import type { Traffic } from "./traffic.ts";

/** How long a hold lives without a checkpoint. */
export const LEASE_MS = 60_000;

export interface Admission {
  /** The id money is kept under: ours, so that a client which repeats its own ids is still served. */
  readonly holdId: string;
  readonly ask: Ask;
  /** The pool; never empty. */
  readonly targets: readonly [Target, ...Target[]];
  readonly report: CallReport;
}

export interface Admitted {
  readonly hold: Hold;
  /** The ledger's word; where it was not waited for, it may still fail. */
  readonly held: Promise<unknown>;
  /** What the rates leave, for the client. */
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * Lets a request in: room first (a refusal for lack of room never touches the ledger), then the most it can cost is set
 * aside and counted against every limit. It is in flight from then on. Throws what the client should see where any is
 * short; nothing is held then.
 */
export async function admit(deps: Deps, traffic: Traffic, admission: Admission): Promise<Admitted> {
  const { inFlight } = deps.config.limits;
  if (traffic.inFlight >= inFlight) {
    throw overloaded(`All ${inFlight} places for requests are taken. Retry in a moment.`, 1000);
  }
  // Counted before the ledger is asked: others that come meanwhile must see it.
  traffic.started();
  let isIn = false;
  try {
    const hold = holdOf(admission, admission.ask.bodyBytes);
    const { ledger, isDistant } = deps.store;
    if (isDistant && !canBeRefused(hold, admission.ask)) {
      const held = ledger.hold(hold);
      held.catch(() => {}); // Settling tries again, and tells.
      isIn = true;
      return { hold, held, headers: {} };
    }
    const first = await ledger.hold(hold);
    const smaller = isForItsSize(first) ? await exactHold(admission, hold) : undefined;
    const result = smaller === undefined ? first : await ledger.hold(smaller);
    // Of an id of its own only a hold that was asked for twice, its first answer lost, can be a repeat.
    const isTaken = result.ok && result.isRepeat && admission.ask.idempotency !== undefined;
    if (!result.ok || isTaken) throw refusal(result);
    isIn = true;
    return {
      hold: smaller ?? hold,
      held: Promise.resolve(result),
      headers: rateHeaders(result.limits),
    };
  } catch (thrown) {
    if (thrown instanceof ApiError) throw thrown;
    throw unavailable(
      "The ledger can't be reached, so nothing can be served. Retry in a moment.",
      1000,
      thrown,
    );
  } finally {
    if (!isIn) traffic.refused();
  }
}

function holdOf({ holdId, ask, targets }: Admission, promptTokens: number): Hold {
  const [first] = targets;
  const { account, keyId, isPrepaid } = ask.principal;
  const completionTokens = completionBound(ask);
  const worst = targets.map(({ price }) => worstCaseNanoUsd(price, promptTokens, completionTokens));
  return {
    account,
    keyId,
    requestId: holdId,
    route: ask.route,
    model: first.id,
    price: first.price,
    amount: Math.max(...worst),
    tokens: promptTokens + completionTokens,
    leaseMs: LEASE_MS,
    isPrepaid,
    // A limit on an alias is one on its model: whichever name is asked for, each counts.
    scopes: ask.principal.scopesFor(new Set(targets.flatMap(({ id, aliases }) => [id, ...aliases]))),
  };
}

function canBeRefused({ isPrepaid, scopes }: Hold, ask: Ask): boolean {
  return isPrepaid || scopes.length > 0 || ask.idempotency !== undefined;
}

/** Refused for tokens or money, which the bytes of a prompt only bound from above. */
function isForItsSize(result: HoldResult): boolean {
  if (result.ok) return false;
  return (
    result.reason === "insufficient_quota" ||
    (result.reason === "rate_limited" && result.resource === "tokens")
  );
}

/** The hold by the prompt's exact tokens, where the tokenizer is ours; undefined where it isn't, or it is no smaller. */
async function exactHold(admission: Admission, hold: Hold): Promise<Hold | undefined> {
  const { ask, targets, report } = admission;
  const [first] = targets;
  const promptTokens = await first.engine.countPrompt?.(callOf(ask, first, ask.signal, report));
  if (promptTokens === undefined || promptTokens >= ask.bodyBytes) return undefined;
  const exact = holdOf(admission, promptTokens);
  return exact.tokens < hold.tokens ? exact : undefined;
}

/** Throws where the principal's key or account doesn't have the model. */
export function requireModel(principal: Principal, asked: string, id: string): void {
  if (!mayAsk(principal, id) && !mayAsk(principal, asked)) throw modelNotAllowed(asked);
}
