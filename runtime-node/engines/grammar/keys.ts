import { ANY_CHAR, charsOf, minus } from "./charset.ts";
import { alt, EMPTY, type Expr, NEVER, type RuleBook, seq, text } from "./rules.ts";
import { anyTail, jsonChars } from "./strings.ts";

/** A text to match, and what follows once it has. */
export interface Leaf {
  readonly text: string;
  readonly next: Expr;
}

/** One of the texts, sharing beginnings: one stack a distinct next character instead of one a text. */
export function trie(leaves: readonly Leaf[]): Expr {
  const groups = new Map<string, Leaf[]>();
  for (const leaf of leaves) {
    const [first = ""] = leaf.text;
    const group = groups.get(first);
    if (group === undefined) groups.set(first, [leaf]);
    else group.push(leaf);
  }
  if (groups.size === 0) return NEVER;
  return alt(
    ...[...groups].map(([first, group]) => {
      if (first === "") return alt(...group.map((leaf) => leaf.next));
      const [only, another] = group;
      if (only !== undefined && another === undefined) return seq(text(only.text), only.next);
      const shared = sharedStart(group.map((leaf) => leaf.text));
      const rest = group.map((leaf) => ({ ...leaf, text: leaf.text.slice(shared.length) }));
      return seq(shared === "" ? EMPTY : text(shared), trie(rest));
    }),
  );
}

function sharedStart(texts: readonly string[]): string {
  const [first = "", ...others] = texts;
  let shared = "";
  for (const char of first) {
    if (!others.every((other) => other.startsWith(shared + char))) break;
    shared += char;
  }
  return shared;
}

/** Any key but these, after its opening quote: one rule a character of theirs, and free once it has left them all. */
export function otherKey(book: RuleBook, names: readonly string[]): Expr {
  const anything = anyTail(book);
  const from = (rests: readonly string[]): Expr => {
    const groups = new Map<string, string[]>();
    for (const rest of rests) {
      const [first] = rest;
      if (first === undefined) continue;
      const group = groups.get(first);
      if (group === undefined) groups.set(first, [rest.slice(first.length)]);
      else group.push(rest.slice(first.length));
    }
    const left = jsonChars(book, minus(ANY_CHAR, charsOf([...groups.keys()].join(""))));
    const ends = rests.includes("") ? NEVER : text('"');
    const inside = [...groups].map(([char, group]) => seq(jsonChars(book, charsOf(char)), from(group)));
    return book.rule("key", alt(...inside, seq(left, anything), ends));
  };
  return from(names);
}
