import { acceptsText, type Dfa, intersectDfa, isEmpty, NO_TEXT, subtractDfa, uniteDfa } from "./automaton.ts";
import { automatonRule } from "./automaton-rules.ts";
import { charset } from "./charset.ts";
import {
  compared,
  FRACTION_DIGITS,
  INTEGER_DIGITS,
  integers,
  integral,
  isExactDouble,
  multiplesOf,
  plainDecimal,
  type Rounding,
  unrounded,
  wellFormed,
} from "./decimals.ts";
import { TooLarge } from "./refusal.ts";
import { alt, chars, EMPTY, type Expr, optional, type RuleBook, seq, text } from "./rules.ts";
import { fromWords } from "./words.ts";

export interface NumberSet {
  readonly isInteger: boolean;
  /** What rounding would do to a text of the set. */
  readonly rounding: Rounding;
  /** Undefined: every number. */
  readonly dfa: Dfa | undefined;
  /** Exactly these, when the schema lists them: written as it writes them. */
  readonly values: readonly number[] | undefined;
}

export const ANY_NUMBER: NumberSet = {
  isInteger: false,
  rounding: "harmless",
  dfa: undefined,
  values: undefined,
};

const BOUNDS = new Map<string, NumberSet>();
const MOST_BOUNDS = 500;

/** Throws `TooLarge`. */
export function bounded(side: "minimum" | "maximum", bound: number, isExclusive: boolean): NumberSet {
  const key = `${side} ${bound} ${isExclusive}`;
  const known = BOUNDS.get(key);
  if (known !== undefined) return known;
  if (isExclusive && !isExactDouble(bound)) throw new TooLarge(`${bound} has more than 15 digits`);
  const outer = side === "minimum" ? 1 : -1;
  const dfa = intersectDfa(wellFormed(), compared(bound, isExclusive ? [outer] : [outer, 0]));
  const set: NumberSet = { ...ANY_NUMBER, rounding: isExclusive ? "at bounds" : "harmless", dfa };
  if (BOUNDS.size < MOST_BOUNDS) BOUNDS.set(key, set);
  return set;
}

/** Throws `TooLarge`. */
export function multiples(divisor: number): NumberSet {
  return { ...ANY_NUMBER, rounding: "everywhere", dfa: intersectDfa(wellFormed(), multiplesOf(divisor)) };
}

export function listed(values: readonly number[]): NumberSet {
  return { ...ANY_NUMBER, values };
}

export function hasNumber(set: NumberSet, value: number): boolean {
  if (set.isInteger && !Number.isInteger(value)) return false;
  if (set.values !== undefined && !set.values.includes(value)) return false;
  return set.dfa === undefined || acceptsText(set.dfa, plainDecimal(value));
}

/** Throws `TooLarge`. */
export function intersectNumbers(a: NumberSet, b: NumberSet): NumberSet {
  const isInteger = a.isInteger || b.isInteger;
  const rounding = worse(a.rounding, b.rounding);
  const values =
    a.values?.filter((value) => hasNumber(b, value)) ?? b.values?.filter((value) => hasNumber(a, value));
  if (values !== undefined) {
    return {
      isInteger,
      rounding,
      dfa: undefined,
      values: values.filter((value) => !isInteger || Number.isInteger(value)),
    };
  }
  const dfa = a.dfa === undefined ? b.dfa : b.dfa === undefined ? a.dfa : intersectDfa(a.dfa, b.dfa);
  return { isInteger, rounding, dfa, values: undefined };
}

/** Throws `TooLarge`. */
export function otherNumbers(set: NumberSet): NumberSet {
  if (!(set.values ?? []).every(isExactDouble)) throw new TooLarge("a number has more than 15 digits");
  const within =
    set.values !== undefined
      ? set.values.map((value) => intersectDfa(compared(value, [0]), wellFormed())).reduce(uniteDfa, NO_TEXT)
      : (set.dfa ?? wellFormed());
  const inside = set.isInteger ? intersectDfa(within, integral()) : within;
  return { ...ANY_NUMBER, rounding: "everywhere", dfa: subtractDfa(wellFormed(), inside) };
}

function worse(a: Rounding, b: Rounding): Rounding {
  const order: readonly Rounding[] = ["harmless", "at bounds", "everywhere"];
  return order.indexOf(a) < order.indexOf(b) ? b : a;
}

export function isNoNumber(set: NumberSet): boolean {
  if (set.values !== undefined) return set.values.length === 0;
  return set.dfa !== undefined && isEmpty(set.isInteger ? intersectDfa(set.dfa, integers()) : set.dfa);
}

/** The JSON texts of the numbers in any of the sets. Throws `TooLarge`. */
export function numberRule(book: RuleBook, hint: string, sets: readonly NumberSet[]): Expr {
  const isPlain = (set: NumberSet): boolean => set.dfa === undefined && set.values === undefined;
  if (sets.some((set) => isPlain(set) && !set.isInteger)) return book.once("number", () => anyNumber(book));
  if (sets.every(isPlain)) return book.once("integer", () => book.rule("integer", integerExpr()));
  const dfas = sets.map((set) => {
    if (set.values !== undefined) return fromWords(set.values.map(plainDecimal));
    if (set.dfa === undefined) return integers();
    const written = unrounded(set.dfa, set.rounding);
    return set.isInteger ? intersectDfa(written, integers()) : written;
  });
  return automatonRule(book, hint, dfas.reduce(uniteDfa), { chars, end: EMPTY });
}

function integerExpr(): Expr {
  const rest: Expr = { kind: "repeat", item: chars(charset([0x30, 0x39])), min: 0, max: INTEGER_DIGITS - 1 };
  return alt(seq(optional(text("-")), chars(charset([0x31, 0x39])), rest), text("0"));
}

/** Exponents stay where every double is finite. */
function anyNumber(book: RuleBook): Expr {
  const digit = chars(charset([0x30, 0x39]));
  const upTo = (max: number): Expr => ({ kind: "repeat", item: digit, min: 1, max });
  const whole = alt(
    seq(chars(charset([0x31, 0x39])), { kind: "repeat", item: digit, min: 0, max: INTEGER_DIGITS - 1 }),
    text("0"),
  );
  const exponent = seq(
    chars(charset([0x45, 0x45], [0x65, 0x65])),
    alt(seq(optional(text("+")), upTo(2)), seq(text("-"), upTo(3))),
  );
  return book.rule(
    "number",
    seq(optional(text("-")), whole, optional(seq(text("."), upTo(FRACTION_DIGITS))), optional(exponent)),
  );
}
