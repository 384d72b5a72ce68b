import { type Dfa, edgesOf, isEmpty, isUniversal } from "./automaton.ts";
import type { Charset } from "./charset.ts";
import { alt, EMPTY, type Expr, isNever, NEVER, type RuleBook, type RuleName, seq } from "./rules.ts";

/** How an automaton's characters and ends are written. */
export interface Spelling {
  readonly chars: (set: Charset) => Expr;
  /** What follows an accepted text: the closing quote of a string, nothing after a number. */
  readonly end: Expr;
  /** What follows once any text will do. */
  readonly anything?: Expr;
}

/**
 * One rule a state that branches, with straight runs written out: a right-linear grammar with at most one live
 * stack a distinct next character.
 */
export function automatonRule(book: RuleBook, hint: string, dfa: Dfa, spelling: Spelling): Expr {
  if (isEmpty(dfa)) return NEVER;
  const edges = dfa.next.map((_, state) => edgesOf(dfa, state));
  const names = new Map<number, RuleName>();
  const queue: number[] = [];

  const target = (state: number): Expr => {
    if (spelling.anything !== undefined && isUniversal(dfa, state)) return spelling.anything;
    if (edges[state]?.length === 0) return spelling.end;
    const known = names.get(state);
    if (known !== undefined) return known;
    const name = book.reserve(hint);
    names.set(state, name);
    queue.push(state);
    return name;
  };

  /** From a state on, until the path branches, ends or comes back. */
  const run = (first: number): Expr => {
    const items: Expr[] = [];
    let state = first;
    for (const seen = new Set<number>(); !seen.has(state); ) {
      seen.add(state);
      const [only, another] = edges[state] ?? [];
      if (only === undefined || another !== undefined || dfa.accepting[state] || names.has(state)) break;
      items.push(spelling.chars(only.on));
      state = only.to;
    }
    return seq(...compress(items), target(state));
  };

  const body = (state: number): Expr =>
    alt(
      ...(edges[state] ?? []).map((edge) => seq(spelling.chars(edge.on), run(edge.to))),
      ...(dfa.accepting[state] ? [spelling.end] : []),
    );

  if (spelling.anything !== undefined && isUniversal(dfa, 0)) return spelling.anything;
  const start = run(0);
  for (const state of queue) {
    const name = names.get(state);
    if (name !== undefined) book.define(name, body(state));
  }
  return start;
}

/** `x x x x` as `x{4}`; llama.cpp takes up to 2,000. */
function compress(items: readonly Expr[]): Expr[] {
  const out: Expr[] = [];
  for (let at = 0; at < items.length; ) {
    const item = items[at] ?? EMPTY;
    let count = 1;
    while (at + count < items.length && count < 500 && sameChars(items[at + count], item)) count++;
    if (count > 2 && !isNever(item)) out.push({ kind: "repeat", item, min: count, max: count });
    else out.push(...items.slice(at, at + count));
    at += count;
  }
  return out;
}

function sameChars(a: Expr | undefined, b: Expr): boolean {
  return a?.kind === "chars" && b.kind === "chars" && a.set.join() === b.set.join();
}
