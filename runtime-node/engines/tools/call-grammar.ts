import { invalidRequest } from "../../../shared/openai/errors.ts";
import type { ToolUse } from "../../../shared/openai/tools.ts";
import { charsOf } from "../grammar/charset.ts";
import { compileRules } from "../grammar/json-schema.ts";
import { alt, createRuleBook, type Expr, optional, type RuleBook, seq, text } from "../grammar/rules.ts";
import type { CallFormat } from "./call-format.ts";
import { freeText } from "./free-text.ts";
import type { Reasoning } from "./reasoning.ts";

/** A grammar lets a small model call for ever; more calls in one answer than this are a loop. */
const MAX_CALLS = 16;

/**
 * The GBNF grammar of an answer, or nothing when none is needed.
 * - Choice `required`: reasoning where the model thinks in tags, then calls of the allowed tools in the model's own
 *   format, arguments held to each tool's schema; one call unless `parallel`.
 * - Choice `auto` with a strict tool: any text, and calls as above, but that tools which aren't strict take any
 *   object. An answer of Llama 3 that begins with `{` is a call.
 *
 * Throws a 400 `ApiError` that names the tool, keyword and path when a schema has no grammar.
 */
export function callGrammar(
  use: ToolUse,
  format: CallFormat,
  reasoning: Reasoning | undefined,
): string | undefined {
  const isForced = use.choice === "required";
  const hasStrict = use.functions.some(({ name, strict }) => strict && use.allowed.has(name));
  if (!isForced && !(use.choice === "auto" && hasStrict)) return undefined;
  const book = createRuleBook();
  const tools = toolRules(book, use, format, isForced);
  const calls = isForced ? callRules(book, use, format, tools).all : answerRules(book, use, format, tools);
  return book.print(thinkingFirst(book, calls, reasoning));
}

/** From the name of a tool to the end of its arguments. */
function toolRules(book: RuleBook, use: ToolUse, format: CallFormat, isForced: boolean): Expr {
  const rules = use.functions.map(({ name, parameters, strict }, i) => {
    if (!use.allowed.has(name)) return undefined;
    const schema = isForced || strict ? { ...parameters, type: "object" } : { type: "object" };
    const compiled = compileRules(book, schema, name);
    if (compiled.ok) return seq(text(name + format.spelling.afterName), compiled.rule);
    throw invalidRequest(
      `The arguments of tool '${name}' can't be held to its schema. ${compiled.message}`,
      use.legacy ? `functions[${i}].parameters` : `tools[${i}].function.parameters`,
    );
  });
  return book.rule("tool", alt(...rules.filter((rule) => rule !== undefined)));
}

interface CallRules {
  /** All calls of an answer. */
  readonly all: Expr;
  /** The same behind the opener, where a call begins with it. */
  readonly behindOpener: Expr;
}

function callRules(book: RuleBook, use: ToolUse, format: CallFormat, tools: Expr): CallRules {
  const { begin, beforeName, afterArguments, between, end } = format.spelling;
  const { opener } = format.reading;
  const maxMore = use.parallel && format.hasParallelCalls ? MAX_CALLS - 1 : 0;
  const more = book.rule("another-call", seq(text(between + beforeName), tools, text(afterArguments)));
  const tail = seq(tools, text(afterArguments), book.times(more, 0, maxMore), text(end));
  const head = begin + beforeName;
  return {
    all: seq(text(head), tail),
    behindOpener: seq(text(head.startsWith(opener) ? head.slice(opener.length) : head), tail),
  };
}

/** Text as the model likes, which can turn to calls but not to anything that only looks like one. */
function answerRules(book: RuleBook, use: ToolUse, format: CallFormat, tools: Expr): Expr {
  const { opener, isBareAtStart } = format.reading;
  const { all, behindOpener } = callRules(book, use, format, tools);
  const content = { behind: behindOpener, mayEnd: true };
  if (!isBareAtStart) return freeText(book, opener, content);
  return alt(all, freeText(book, opener, { ...content, notFirst: charsOf("{") }));
}

function thinkingFirst(book: RuleBook, answer: Expr, reasoning: Reasoning | undefined): Expr {
  if (reasoning === undefined) return answer;
  const { open, close, startsOpen } = reasoning;
  const newline = optional(text("\n"));
  const thought = freeText(book, close, {
    behind: seq(newline, newline, book.rule("answer", answer)),
    mayEnd: false,
  });
  return startsOpen ? thought : alt(answer, seq(text(open), thought));
}
