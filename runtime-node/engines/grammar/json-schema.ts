/**
 * JSON schema to GBNF, exactly: every text the grammar matches is valid by the schema, and what a grammar can't hold
 * is refused by keyword and path. `README.md` beside this file has the table of keywords.
 *
 * A schema becomes a union of shapes (`shapes.ts`); strings and numbers become automata; objects a machine over
 * their keys; all of it rules in one book. JSON is written compact or with one space after `:` and `,`; declared
 * keys in the schema's order, then others.
 */
import { Refusal, TooLarge } from "./refusal.ts";
import { createRuleBook, type Expr, type RuleBook } from "./rules.ts";
import { conjunctionOf, createSchemaStore } from "./schema-node.ts";
import { createShapeSource } from "./shapes.ts";
import { anyValue, createValueRules } from "./values.ts";

export interface GrammarRefusal {
  readonly ok: false;
  /** The keyword that can't be held, `pattern`. */
  readonly keyword: string;
  /** JSON pointer to it in the schema, `/properties/a/pattern`. */
  readonly path: string;
  /** For the client: what is wrong, where, and what to do. */
  readonly message: string;
}

export type CompiledGrammar = { readonly ok: true; readonly grammar: string } | GrammarRefusal;

/**
 * The GBNF grammar of the JSON texts that are valid by the schema.
 *
 * @example
 * const compiled = compileJsonSchema({ type: "object", properties: { a: { type: "integer", minimum: 0 } } });
 * if (!compiled.ok) throw invalidRequest(compiled.message, "response_format");
 */
export function compileJsonSchema(schema: unknown): CompiledGrammar {
  const book = createRuleBook();
  return refusable(() => {
    const grammar = book.print(schemaRule(book, schema, "root"));
    if (grammar === undefined) {
      throw new Refusal(
        "schema",
        "",
        "no value satisfies it: something required is forbidden or recurses for ever",
      );
    }
    return grammar;
  });
}

/** `response_format: {"type": "json_object"}`: any JSON object. */
export function jsonObjectGrammar(): string {
  const compiled = compileJsonSchema({ type: "object" });
  return compiled.ok ? compiled.grammar : "";
}

export type CompiledRule = { readonly ok: true; readonly rule: Expr } | GrammarRefusal;

/**
 * Adds a schema's rules to a book others are in too (one a tool, say) and gives the expression that matches it.
 * Rules with equal bodies are shared, names never clash.
 */
export function compileRules(book: RuleBook, schema: unknown, hint: string): CompiledRule {
  const compiled = refusable(() => {
    const rule = schemaRule(book, schema, hint);
    if (book.print(rule) === undefined) throw new Refusal("schema", "", "no value satisfies it");
    return rule;
  });
  return compiled.ok ? { ok: true, rule: compiled.grammar } : compiled;
}

function schemaRule(book: RuleBook, schema: unknown, hint: string): Expr {
  const store = createSchemaStore(schema);
  const all = conjunctionOf(store.root);
  return all.length === 0 ? anyValue(book) : createValueRules(book, createShapeSource(store))(all, hint);
}

function refusable<T>(work: () => T): { readonly ok: true; readonly grammar: T } | GrammarRefusal {
  try {
    return { ok: true, grammar: work() };
  } catch (error) {
    if (error instanceof Refusal) return refused(error.keyword, error.path, error.message);
    if (error instanceof TooLarge) return refused("schema", "", error.message);
    // The compiler recurses as deep as the schema nests.
    if (error instanceof RangeError) return refused("schema", "", "it is nested too deeply");
    throw error;
  }
}

function refused(keyword: string, path: string, reason: string): GrammarRefusal {
  const where = path === "" ? "the schema" : `\`${keyword}\` at \`#${path}\``;
  return { ok: false, keyword, path, message: `This JSON schema can't be held to: ${where}: ${reason}.` };
}
