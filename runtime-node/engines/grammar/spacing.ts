import { type Expr, optional, type RuleBook, seq, text } from "./rules.ts";

/** All the white space there is: at most one space, after `:` and `,`. More would only be more tokens to pay for. */
export function space(book: RuleBook): Expr {
  return book.once("space", () => book.rule("sp", optional(text(" "))));
}

export function comma(book: RuleBook): Expr {
  return seq(text(","), space(book));
}

export function colon(book: RuleBook): Expr {
  return seq(text(":"), space(book));
}
