/**
 * Objects as a machine over their keys. Declared keys come in the schema's order, each at most once, then others; a
 * state knows, for every shape of the union that still fits, the next key it may have. So optional keys in any
 * subset cost one rule each, and `anyOf` of objects shares what its branches share.
 */
import { subtractDfa } from "./automaton.ts";
import { otherKey, trie } from "./keys.ts";
import { Refusal, TooLarge } from "./refusal.ts";
import { alt, type Expr, NEVER, type RuleBook, type RuleName, seq, text } from "./rules.ts";
import { type Conjunction, conjunctionKey } from "./schema-node.ts";
import type { ObjectShape } from "./shape.ts";
import { colon, comma } from "./spacing.ts";
import { stringsOf, stringTail } from "./strings.ts";
import { fromWords } from "./words.ts";

/** Where in one shape an object is: the next declared key, and how many it has when that matters. */
interface Place {
  readonly shape: number;
  readonly at: number;
  readonly count: number;
}

interface Plan {
  readonly keys: readonly string[];
  readonly shape: ObjectShape;
  readonly counts: boolean;
  /** The classes of undeclared keys: the rest of a key after its opening quote, and its value. */
  readonly others: readonly { readonly tail: Expr; readonly value: Conjunction }[];
}

interface Step {
  /** A declared key, or the rule of the undeclared ones. */
  readonly key: string | Expr;
  readonly value: Conjunction;
  readonly targets: Map<string, Place>;
}

const MOST_STATES = 4_000;
/** Longer runs of optional keys are cut into blocks, or the rules would grow with the square of their number. */
const LONG_RUN = 48;
const BLOCK = 32;

/** The JSON texts of the objects of any of the shapes. `valueRule` gives the rule of a property's value. */
export function objectRule(
  book: RuleBook,
  hint: string,
  shapes: readonly ObjectShape[],
  valueRule: (all: Conjunction, hint: string) => Expr,
  path: string,
): Expr {
  const plans = shapes.map((shape) => planOf(book, shape));
  const afterRules = new Map<string, Expr>();
  /** Named and still to be written: a queue, since objects may have more states than the stack has frames. */
  const pending: { readonly name: RuleName; readonly places: readonly Place[] }[] = [];

  const member = (places: readonly Place[]): Expr => {
    const { steps, skip } = stepsFrom(plans, places);
    const leaves = steps.flatMap(({ key, value, targets }) =>
      typeof key === "string"
        ? [{ text: JSON.stringify(key).slice(1), next: pair(key, value, targets) }]
        : [],
    );
    const others = steps.flatMap(({ key, value, targets }) =>
      typeof key === "string" ? [] : [seq(key, pair("value", value, targets))],
    );
    const skipped = skip === undefined ? NEVER : book.rule(`${hint}-keys`, member([skip]));
    return alt(trie(leaves), ...others, skipped);
  };

  const pairs = new Map<string, Expr>();
  const pair = (key: string, value: Conjunction, targets: ReadonlyMap<string, Place>): Expr => {
    const id = `${conjunctionKey(value)} ${placesKey([...targets.values()])}`;
    const made = pairs.get(id) ?? pairRule(key, value, targets);
    pairs.set(id, made);
    return made;
  };

  const pairRule = (key: string, value: Conjunction, targets: ReadonlyMap<string, Place>): Expr => {
    const rule = valueRule(value, key);
    return rule.kind === "alt" && rule.options.length === 0
      ? NEVER
      : book.rule(`${key}-kv`, seq(colon(book), rule, after([...targets.values()])));
  };

  const after = (places: readonly Place[]): Expr => {
    const key = placesKey(places);
    const known = afterRules.get(key);
    if (known !== undefined) return known;
    if (afterRules.size >= MOST_STATES)
      throw new Refusal("anyOf", path, "its objects combine in too many ways");
    const name = book.reserve(`${hint}-then`);
    afterRules.set(key, name);
    pending.push({ name, places });
    return name;
  };

  const end = (places: readonly Place[]): Expr =>
    places.some((place) => mayEnd(plans, place)) ? text("}") : NEVER;

  const start = plans.map((_, shape): Place => ({ shape, at: 0, count: 0 }));
  try {
    const whole = seq(text("{"), alt(seq(text('"'), member(start)), end(start)));
    for (const { name, places } of pending) {
      book.define(name, alt(seq(comma(book), text('"'), member(places)), end(places)));
    }
    return whole;
  } catch (error) {
    if (error instanceof TooLarge) throw new Refusal("properties", path, error.message);
    throw error;
  }
}

function planOf(book: RuleBook, shape: ObjectShape): Plan {
  const keys = [...shape.properties.keys()];
  if (shape.min > shape.required.size + 1 && shape.extras.length > 0) {
    throw new Refusal(
      "minProperties",
      shape.minPath ?? "",
      "keys that are not declared could repeat, and a grammar can't count distinct ones; declare the properties",
    );
  }
  const others = shape.extras.map(({ keys: all, value }) => {
    if (all === undefined) return { tail: otherKey(book, keys), value };
    const tail = stringTail(book, "key", stringsOf(subtractDfa(all, fromWords(keys))));
    return { tail: book.rule("key", tail), value };
  });
  return { keys, shape, counts: shape.max !== undefined || shape.min > shape.required.size, others };
}

function requiresFrom({ keys, shape }: Plan, at: number): boolean {
  return keys.some((key, i) => i >= at && shape.required.has(key));
}

function mayEnd(plans: readonly Plan[], place: Place): boolean {
  const plan = plans[place.shape];
  return (
    plan !== undefined && !requiresFrom(plan, place.at) && (!plan.counts || place.count >= plan.shape.min)
  );
}

/** The keys that may come next, with the same key and value of several shapes as one step. */
function stepsFrom(
  plans: readonly Plan[],
  places: readonly Place[],
): { steps: readonly Step[]; skip?: Place } {
  const steps = new Map<string, Step>();
  let skip: Place | undefined;
  const add = (key: string | Expr, value: Conjunction, target: Place): void => {
    const id = `${JSON.stringify(key)} ${conjunctionKey(value)}`;
    const step = steps.get(id) ?? { key, value, targets: new Map() };
    step.targets.set(placesKey([target]), target);
    steps.set(id, step);
  };
  for (const place of places) {
    const plan = plans[place.shape];
    if (plan === undefined) continue;
    const { keys, shape, counts, others } = plan;
    if (counts && shape.max !== undefined && place.count >= shape.max) continue;
    const limit = Math.max(shape.min, shape.max ?? shape.min);
    const next = (at: number): Place => ({
      ...place,
      at,
      count: counts ? Math.min(place.count + 1, limit) : 0,
    });
    let at = place.at;
    let isBlocked = false;
    const boundary = (Math.floor(place.at / BLOCK) + 1) * BLOCK;
    const cuts = places.length === 1 && keys.length - place.at > LONG_RUN;
    for (; at < keys.length && !isBlocked && !(cuts && at === boundary); at++) {
      const key = keys[at] ?? "";
      add(key, shape.properties.get(key) ?? [], next(at + 1));
      isBlocked = shape.required.has(key);
    }
    if (isBlocked) continue;
    if (cuts && at === boundary) skip = { ...place, at };
    else for (const { tail, value } of others) add(tail, value, next(keys.length));
  }
  return { steps: [...steps.values()], ...(skip === undefined ? {} : { skip }) };
}

function placesKey(places: readonly Place[]): string {
  return places
    .map(({ shape, at, count }) => `${shape}:${at}:${count}`)
    .sort()
    .join();
}
