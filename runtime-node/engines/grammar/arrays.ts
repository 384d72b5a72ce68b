import { distinctItems, listValues } from "./distinct-items.ts";
import { FORBIDDEN } from "./intersection.ts";
import { Refusal } from "./refusal.ts";
import { alt, EMPTY, type Expr, isNever, NEVER, type RuleBook, seq, text } from "./rules.ts";
import { both, type Conjunction } from "./schema-node.ts";
import type { ArrayShape } from "./shape.ts";
import type { ShapeSource } from "./shapes.ts";
import { comma } from "./spacing.ts";

/** The JSON texts of the arrays of a shape. `valueRule` gives the rule of an item. */
export function arrayRule(
  book: RuleBook,
  hint: string,
  shape: ArrayShape,
  valueRule: (all: Conjunction, hint: string) => Expr,
  shapesOf: ShapeSource["shapesOf"],
): Expr {
  const next = comma(book);
  const [contained, another] = shape.contained;
  if (shape.unique !== undefined && (shape.max ?? 2) > 1) {
    const isPlain = shape.prefix.length === 0 && contained === undefined;
    const values = isPlain ? listValues(shapesOf(shape.rest ?? FORBIDDEN)) : undefined;
    if (values !== undefined) return distinctItems(book, hint, values, shape.min, shape.max);
    throw new Refusal(
      "uniqueItems",
      shape.unique,
      "a grammar can't remember the items it has written, unless they are up to six listed values",
    );
  }
  if (contained !== undefined) {
    if (another !== undefined || shape.prefix.length > 0 || shape.min > 1 || shape.max !== undefined) {
      throw new Refusal("contains", contained.path, "is supported alone, without a prefix or a length");
    }
    const item = valueRule(shape.rest ?? [], `${hint}-item`);
    const match =
      shape.rest === undefined ? NEVER : valueRule(both(shape.rest, contained.item), `${hint}-match`);
    return seq(
      text("["),
      book.times(seq(item, next), 0, undefined),
      match,
      book.times(seq(next, item), 0, undefined),
      text("]"),
    );
  }

  const { prefix, rest, min, max } = shape;
  const places = Math.min(prefix.length, max ?? prefix.length);
  const item =
    rest === undefined || (max !== undefined && max <= prefix.length)
      ? NEVER
      : valueRule(rest, `${hint}-item`);
  const more = (from: number): Expr => {
    const left = max === undefined ? undefined : max - from;
    const needed = Math.max(0, min - from);
    if (isNever(item) || left === 0) return needed === 0 ? EMPTY : NEVER;
    return book.times(book.rule(`${hint}-more`, seq(next, item)), needed, left);
  };
  /** What follows the first `count` items, at least one. */
  let tail = more(Math.max(places, 1));
  for (let place = places - 1; place >= 1; place--) {
    const following = seq(next, valueRule(prefix[place] ?? [], `${hint}-${place}`), tail);
    tail =
      place < min ? following : isNever(following) ? EMPTY : book.rule(`${hint}-rest`, alt(following, EMPTY));
  }
  const first = places > 0 ? valueRule(prefix[0] ?? [], `${hint}-0`) : max === 0 ? NEVER : item;
  return seq(text("["), alt(seq(first, tail), min === 0 ? EMPTY : NEVER), text("]"));
}
