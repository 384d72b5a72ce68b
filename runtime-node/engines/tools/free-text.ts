import { ANY_CHAR, type Charset, charsOf, minus, NO_CHAR } from "../grammar/charset.ts";
import { alt, chars, EMPTY, type Expr, NEVER, type RuleBook, seq } from "../grammar/rules.ts";

export interface FreeTextOptions {
  /** What follows the mark. */
  readonly behind: Expr;
  /** The text may end without the mark. */
  readonly mayEnd: boolean;
  /** Characters that may not stand first, spaces aside. */
  readonly notFirst?: Charset;
}

/** JSON's, and what the parser skips before a call. */
const SPACE = charsOf(" \t\r\n");

/**
 * Any text up to the first `mark`, which can only go on with `behind`. One rule a character of the mark (Knuth,
 * Morris and Pratt's automaton), so that one stack is alive wherever the text stands.
 */
export function freeText(book: RuleBook, mark: string, options: FreeTextOptions): Expr {
  const { behind, mayEnd, notFirst = NO_CHAR } = options;
  const letters = [...mark];
  const rules = letters.map(() => book.reserve("text"));
  const end = mayEnd ? EMPTY : NEVER;

  /** The ways on with `matched` letters of the mark read, over the characters of `on`. */
  const waysOn = (matched: number, on: Charset): Expr => {
    const ways: Expr[] = [];
    let others = on;
    for (const letter of new Set(letters)) {
      const next = nextMatched(letters, matched, letter);
      const way = next === letters.length ? behind : rules[next];
      if (next === 0 || way === undefined) continue;
      const one = charsOf(letter);
      others = minus(others, one);
      if (minus(one, on).length === 0) ways.push(seq(chars(one), way));
    }
    return alt(seq(chars(others), rules[0] ?? NEVER), ...ways);
  };

  for (const [matched, rule] of rules.entries()) book.define(rule, alt(end, waysOn(matched, ANY_CHAR)));
  if (notFirst.length === 0) return rules[0] ?? NEVER;
  const start = book.reserve("text-start");
  const first = minus(minus(ANY_CHAR, notFirst), SPACE);
  book.define(start, alt(end, seq(chars(SPACE), start), waysOn(0, first)));
  return start;
}

/** How many letters of the mark are read once `letter` follows `matched` of them. */
function nextMatched(letters: readonly string[], matched: number, letter: string): number {
  const read = [...letters.slice(0, matched), letter].join("");
  for (let count = matched + 1; count > 0; count--) {
    if (read.endsWith(letters.slice(0, count).join(""))) return count;
  }
  return 0;
}
