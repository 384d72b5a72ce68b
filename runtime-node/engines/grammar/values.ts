import { arrayRule } from "./arrays.ts";
import { ANY_NUMBER, numberRule } from "./numbers.ts";
import { objectRule } from "./objects.ts";
import { Refusal, TooLarge } from "./refusal.ts";
import { alt, EMPTY, type Expr, NEVER, type RuleBook, seq, text } from "./rules.ts";
import { type Conjunction, conjunctionKey } from "./schema-node.ts";
import { type Shape, type ShapeType, simplified } from "./shape.ts";
import type { ShapeSource } from "./shapes.ts";
import { colon, comma } from "./spacing.ts";
import { ANY_STRING, type StringSet, stringRule, uniteStrings } from "./strings.ts";

/** Gives each conjunction of schemas its rule, once: recursion comes back to the same name. */
export function createValueRules(
  book: RuleBook,
  source: ShapeSource,
): (all: Conjunction, hint: string) => Expr {
  const rules = new Map<string, Expr>();

  const valueRule = (all: Conjunction, hint: string): Expr => {
    if (all.length === 0) return anyValue(book);
    const key = conjunctionKey(all);
    const known = rules.get(key);
    if (known !== undefined) return known;
    const shapes = simplified(source.shapesOf(all));
    if (shapes.length === 0) return NEVER;
    const path = all[0]?.path ?? "";
    if (shapes.every(({ type }) => type !== "array" && type !== "object")) {
      const rule = book.rule(hint, unionRule(shapes, hint, path));
      rules.set(key, rule);
      return rule;
    }
    const name = book.reserve(hint);
    rules.set(key, name);
    book.define(name, unionRule(shapes, hint, path));
    return name;
  };

  const unionRule = (shapes: readonly Shape[], hint: string, path: string): Expr => {
    const of = <T extends ShapeType>(type: T): (Shape & { readonly type: T })[] =>
      shapes.filter((shape): shape is Shape & { readonly type: T } => shape.type === type);
    const objects = of("object");
    const numbers = of("number");
    const booleans = new Set(of("boolean").flatMap((shape) => shape.values));
    try {
      return alt(
        objects.length === 0 ? NEVER : objectRule(book, hint, objects, valueRule, path),
        ...of("array").map((shape) => arrayRule(book, hint, shape, valueRule, source.shapesOf)),
        ...united(of("string")).map((set) => stringRule(book, hint, set)),
        numbers.length === 0 ? NEVER : numberRule(book, hint, numbers),
        ...[...booleans].map((value) => text(String(value))),
        of("null").length === 0 ? NEVER : text("null"),
      );
    } catch (error) {
      if (error instanceof TooLarge) throw new Refusal("anyOf", path, error.message);
      throw error;
    }
  };

  return valueRule;
}

/** One set where the union stays small, so that it has one parse. */
function united(sets: readonly StringSet[]): readonly StringSet[] {
  if (sets.length < 2) return sets;
  try {
    return [sets.reduce(uniteStrings)];
  } catch (error) {
    if (error instanceof TooLarge) return sets;
    throw error;
  }
}

/** Any JSON value, in the same spacing as everything else. */
export function anyValue(book: RuleBook): Expr {
  return book.once("value", () => {
    const value = book.reserve("value");
    const string = book.rule("string", stringRule(book, "string", ANY_STRING));
    const member = book.rule("member", seq(string, colon(book), value));
    const list = (item: Expr): Expr =>
      alt(seq(item, book.times(seq(comma(book), item), 0, undefined)), EMPTY);
    book.define(
      value,
      alt(
        seq(text("{"), list(member), text("}")),
        seq(text("["), list(value), text("]")),
        string,
        numberRule(book, "number", [ANY_NUMBER]),
        ...["true", "false", "null"].map(text),
      ),
    );
    return value;
  });
}
