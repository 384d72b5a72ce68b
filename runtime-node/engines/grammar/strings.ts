import {
  ANY_TEXT,
  acceptsText,
  type Dfa,
  fromLength,
  intersectDfa,
  isEmpty,
  isUniversal,
  NO_TEXT,
  subtractDfa,
  uniteDfa,
} from "./automaton.ts";
import { automatonRule } from "./automaton-rules.ts";
import { ANY_CHAR, type Charset, charset, charsOf, contains, intersect, minus, sameSet } from "./charset.ts";
import { TooLarge } from "./refusal.ts";
import { alt, chars, type Expr, type RuleBook, seq, text } from "./rules.ts";
import { fromWords } from "./words.ts";

/** A set of strings: a length in code points, or, once a pattern, format or value is involved, an automaton. */
export interface StringSet {
  readonly min: number;
  readonly max: number | undefined;
  readonly dfa: Dfa | undefined;
}

export const ANY_STRING: StringSet = { min: 0, max: undefined, dfa: undefined };

/** No model's context holds a longer one; a greater `maxLength` says nothing more. */
const LONGEST = 65_536;

export function stringsOf(dfa: Dfa): StringSet {
  return isUniversal(dfa, 0) ? ANY_STRING : { min: 0, max: undefined, dfa };
}

export function stringWords(words: Iterable<string>): StringSet {
  return stringsOf(fromWords(words));
}

export function isAnyString(set: StringSet): boolean {
  return set.dfa === undefined && set.min === 0 && set.max === undefined;
}

export function isNoString(set: StringSet): boolean {
  return set.dfa === undefined ? set.max !== undefined && set.max < set.min : isEmpty(set.dfa);
}

/** Throws `TooLarge`. */
export function intersectStrings(a: StringSet, b: StringSet): StringSet {
  if (a.dfa === undefined && b.dfa === undefined) {
    const max = Math.min(a.max ?? Number.POSITIVE_INFINITY, b.max ?? Number.POSITIVE_INFINITY);
    return { min: Math.max(a.min, b.min), max: Number.isFinite(max) ? max : undefined, dfa: undefined };
  }
  return stringsOf(intersectDfa(toDfa(a, b.dfa), toDfa(b, a.dfa)));
}

/** Throws `TooLarge`. */
export function uniteStrings(a: StringSet, b: StringSet): StringSet {
  if (isAnyString(a) || isAnyString(b)) return ANY_STRING;
  return stringsOf(uniteDfa(toDfa(a), toDfa(b)));
}

/** Throws `TooLarge`. */
export function otherStrings(set: StringSet): StringSet {
  return stringsOf(subtractDfa(ANY_TEXT, toDfa(set)));
}

/** Throws `TooLarge`. `other` may make a bound on the length needless. */
export function toDfa(set: StringSet, other?: Dfa): Dfa {
  if (set.dfa !== undefined) return set.dfa;
  if (isAnyString(set)) return ANY_TEXT;
  const longest = other === undefined ? undefined : longestText(other);
  const max = longest !== undefined && longest <= (set.max ?? longest) ? undefined : set.max;
  if (max !== undefined && max < set.min) return NO_TEXT;
  if (Math.max(set.min, max ?? 0) > 5_000) throw new TooLarge("the length is too large to be combined");
  return fromLength(set.min, max);
}

export function hasString(set: StringSet, value: string): boolean {
  const { length } = [...value];
  if (length < set.min || (set.max !== undefined && length > set.max)) return false;
  return set.dfa === undefined || acceptsText(set.dfa, value);
}

/** The length of the longest accepted text; undefined when there is none. */
function longestText(dfa: Dfa): number | undefined {
  const depth = new Map<number, number>();
  const open = new Set<number>();
  const visit = (state: number): number => {
    if (open.has(state)) return Number.POSITIVE_INFINITY;
    const known = depth.get(state);
    if (known !== undefined) return known;
    open.add(state);
    let deepest = 0;
    for (const to of new Set(dfa.next[state])) if (to >= 0) deepest = Math.max(deepest, 1 + visit(to));
    open.delete(state);
    depth.set(state, deepest);
    return deepest;
  };
  const longest = visit(0);
  return Number.isFinite(longest) ? longest : undefined;
}

/** The JSON texts of a set of strings, quotes included. */
export function stringRule(book: RuleBook, hint: string, set: StringSet): Expr {
  return seq(text('"'), stringTail(book, hint, set));
}

/** As `stringRule`, after the opening quote: object keys share theirs. */
export function stringTail(book: RuleBook, hint: string, set: StringSet): Expr {
  const any = anyChar(book);
  if (set.dfa === undefined) {
    const max = set.max === undefined ? undefined : Math.min(set.max, LONGEST);
    if (set.min > LONGEST) throw new TooLarge(`strings of ${set.min} characters do not fit any context`);
    if (isAnyString(set)) return anyTail(book);
    return book.rule(hint, seq(book.times(any, set.min, max), text('"')));
  }
  return automatonRule(book, hint, set.dfa, {
    chars: (on) => jsonChars(book, on),
    end: text('"'),
    anything: anyTail(book),
  });
}

/** Any string after its opening quote. */
export function anyTail(book: RuleBook): Expr {
  return book.once("string-tail", () =>
    book.rule("string-tail", seq({ kind: "repeat", item: anyChar(book), min: 0, max: undefined }, text('"'))),
  );
}

const HEX = charset([0x30, 0x39], [0x41, 0x46], [0x61, 0x66]);
const SPECIAL = charset([0, 0x1f], [0x22, 0x22], [0x5c, 0x5c]);
const SHORT_ESCAPES: Readonly<Record<number, string>> = {
  8: "b",
  9: "t",
  10: "n",
  12: "f",
  13: "r",
  34: '"',
  92: "\\",
};

/** One code point in any of JSON's spellings; a surrogate pair counts once and a lone half is not let through. */
function anyChar(book: RuleBook): Expr {
  return book.once("char", () => charRule(book));
}

function charRule(book: RuleBook): Expr {
  const hex = chars(HEX);
  const nibble = (from: string): Expr => chars(charsOf(from));
  const basic = seq(nibble("0123456789ABCEFabcef"), hex, hex, hex);
  const belowSurrogates = seq(nibble("Dd"), nibble("01234567"), hex, hex);
  const pair = seq(
    seq(nibble("Dd"), nibble("89ABab"), hex, hex),
    seq(text("\\u"), nibble("Dd"), nibble("CDEFcdef"), hex, hex),
  );
  const unicode = book.rule("unicode", alt(basic, belowSurrogates, pair));
  const escaped = book.rule("escape", alt(chars(charsOf('"\\/bfnrt')), seq(text("u"), unicode)));
  return book.rule("char", alt(chars(minus(ANY_CHAR, SPECIAL)), seq(text("\\"), escaped)));
}

/**
 * One code point of `set`. Where the set is not everything only JSON.stringify's spelling counts, so that an escape
 * can't smuggle in a character the pattern forbids.
 */
export function jsonChars(book: RuleBook, set: Charset): Expr {
  if (sameSet(set, ANY_CHAR)) return anyChar(book);
  const plain = chars(minus(set, SPECIAL));
  const special = intersect(set, SPECIAL);
  if (special.length === 0) return plain;
  return alt(
    plain,
    seq(
      text("\\"),
      book.once(`escapes ${special.join()}`, () => book.rule("escape", escapesOf(special))),
    ),
  );
}

function escapesOf(special: Charset): Expr {
  const short: string[] = [];
  const low: string[] = [];
  const high: string[] = [];
  for (let code = 0; code <= 92; code++) {
    if (!contains(special, code)) continue;
    const letter = SHORT_ESCAPES[code];
    if (letter !== undefined) short.push(letter);
    else (code < 16 ? low : high).push((code % 16).toString(16));
  }
  const digits = (nibbles: readonly string[]): Expr =>
    chars(charsOf(nibbles.map((nibble) => nibble + nibble.toUpperCase()).join("")));
  return alt(
    chars(charsOf(short.join(""))),
    seq(text("u00"), alt(seq(text("0"), digits(low)), seq(text("1"), digits(high)))),
  );
}
