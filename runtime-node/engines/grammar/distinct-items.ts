import { type Dfa, edgesOf } from "./automaton.ts";
import { countOf } from "./charset.ts";
import { alt, EMPTY, type Expr, NEVER, type RuleBook, seq, text } from "./rules.ts";
import type { Shape } from "./shape.ts";
import { comma } from "./spacing.ts";

/** 2^n states remember which of n values are used. */
const MOST_VALUES = 6;

/** The JSON texts of all values of the shapes; undefined when they are more than `uniqueItems` can remember. */
export function listValues(shapes: readonly Shape[]): readonly string[] | undefined {
  const values = new Set<string>();
  for (const shape of shapes) {
    const found = valuesOf(shape);
    if (found === undefined) return undefined;
    for (const value of found) values.add(value);
    if (values.size > MOST_VALUES) return undefined;
  }
  return [...values];
}

function valuesOf(shape: Shape): readonly string[] | undefined {
  switch (shape.type) {
    case "null":
      return ["null"];
    case "boolean":
      return shape.values.map(String);
    case "number":
      return shape.values?.map((value) => JSON.stringify(value));
    case "string":
      return shape.dfa === undefined ? undefined : wordsOf(shape.dfa)?.map((word) => JSON.stringify(word));
    case "array":
    case "object":
      return undefined;
    default:
      return shape satisfies never;
  }
}

function wordsOf(dfa: Dfa): readonly string[] | undefined {
  const words: string[] = [];
  const open = new Set<number>();
  const visit = (state: number, word: string): boolean => {
    if (open.has(state)) return false;
    if (dfa.accepting[state] && words.push(word) > MOST_VALUES) return false;
    open.add(state);
    const isBounded = edgesOf(dfa, state).every(({ on, to }) => {
      if (countOf(on) > MOST_VALUES) return false;
      return charsIn(on).every((char) => visit(to, word + char));
    });
    open.delete(state);
    return isBounded;
  };
  return visit(0, "") ? words : undefined;
}

function charsIn(set: readonly number[]): string[] {
  const chars: string[] = [];
  for (let i = 0; i + 1 < set.length; i += 2) {
    for (let code = set[i] ?? 0; code <= (set[i + 1] ?? 0); code++) chars.push(String.fromCodePoint(code));
  }
  return chars;
}

/** Arrays of `min` to `max` of the values, none twice, in any order. */
export function distinctItems(
  book: RuleBook,
  hint: string,
  values: readonly string[],
  min: number,
  max: number | undefined,
): Expr {
  const known = new Map<string, Expr>();
  const after = (left: readonly string[]): Expr => {
    const key = left.join("\n");
    const rule = known.get(key);
    if (rule !== undefined) return rule;
    const used = values.length - left.length;
    const stop = used >= min ? EMPTY : NEVER;
    const more = max === undefined || used < max ? left : [];
    const items = alt(
      ...more.map((value) => seq(text(value), after(left.filter((other) => other !== value)))),
    );
    const body = alt(used === 0 ? items : seq(comma(book), items), stop);
    const made = book.rule(`${hint}-left`, body);
    known.set(key, made);
    return made;
  };
  return seq(text("["), after(values), text("]"));
}
