/**
 * GBNF as a tree and a book of named rules. What llama.cpp's parser does with it is taken into account here: repeats
 * past 2,000 silently become unbounded and 2,000 itself is an error (llama.cpp `handle_repetitions`, read 2026-11),
 * so long repeats are built from blocks; rules that can never end (a required property that recurses for ever) are
 * cut, since the sampler would walk into them.
 */
import { ANY_CHAR, type Charset, complement, LAST_CODE_POINT, rangesOf, sameSet } from "./charset.ts";
import { TooLarge } from "./refusal.ts";

export type Expr =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "chars"; readonly set: Charset }
  | { readonly kind: "ref"; readonly name: string }
  | { readonly kind: "seq"; readonly items: readonly Expr[] }
  | { readonly kind: "alt"; readonly options: readonly Expr[] }
  | { readonly kind: "repeat"; readonly item: Expr; readonly min: number; readonly max: number | undefined };

/** Matches nothing, not even the empty text. */
export const NEVER: Expr = { kind: "alt", options: [] };
/** Matches the empty text. */
export const EMPTY: Expr = { kind: "seq", items: [] };

const RULE_LIMIT = 20_000;
const BLOCK = 500;

export function text(value: string): Expr {
  return value === "" ? EMPTY : { kind: "text", text: value };
}

export function chars(set: Charset): Expr {
  return set.length === 0 ? NEVER : { kind: "chars", set };
}

export function isNever(expr: Expr): boolean {
  return expr.kind === "alt" && expr.options.length === 0;
}

export function seq(...items: readonly Expr[]): Expr {
  const flat: Expr[] = [];
  for (const item of items.flatMap((part) => (part.kind === "seq" ? part.items : [part]))) {
    if (isNever(item)) return NEVER;
    const last = flat.at(-1);
    if (item.kind === "text" && last?.kind === "text") {
      flat[flat.length - 1] = text(last.text + item.text);
    } else flat.push(item);
  }
  const [only] = flat;
  if (flat.length === 0) return EMPTY;
  return flat.length === 1 && only !== undefined ? only : { kind: "seq", items: flat };
}

export function alt(...options: readonly Expr[]): Expr {
  const distinct = new Map<unknown, Expr>();
  for (const option of options.flatMap((part) => (part.kind === "alt" ? part.options : [part]))) {
    const isSmall = option.kind === "ref" || option.kind === "text";
    distinct.set(isSmall ? printExpr(option) : option, option);
  }
  const [only] = distinct.values();
  return distinct.size === 1 && only !== undefined ? only : { kind: "alt", options: [...distinct.values()] };
}

export function optional(item: Expr): Expr {
  return isNever(item) ? EMPTY : { kind: "repeat", item, min: 0, max: 1 };
}

export type RuleName = Expr & { readonly kind: "ref" };

export interface RuleBook {
  /** A fresh rule name, for a rule which refers to itself; `define` must follow. */
  reserve(hint: string): RuleName;
  define(name: RuleName, body: Expr): void;
  /** What `make` made the first time, for the pieces every grammar shares. */
  once(key: string, make: () => Expr): Expr;
  /** Names an expression; the same body gets the same rule. */
  rule(hint: string, body: Expr): Expr;
  /** `min` to `max` times, in the fewest rules llama.cpp takes; no `max` means without end. */
  times(item: Expr, min: number, max: number | undefined): Expr;
  /** The grammar whose `root` is this expression, or nothing when it matches no text at all. */
  print(root: Expr): string | undefined;
}

export function createRuleBook(): RuleBook {
  const bodies = new Map<string, Expr>();
  const namesByBody = new Map<string, string>();

  const freshName = (hint: string): string => {
    if (bodies.size >= RULE_LIMIT) throw new TooLarge(`the grammar has more than ${RULE_LIMIT} rules`);
    const base =
      hint
        .toLowerCase()
        .replace(/[^a-z0-9]+/g, "-")
        .replace(/^-+|-+$/g, "")
        .slice(0, 32) || "r";
    let name = base === "root" ? "root-0" : base;
    for (let i = bodies.size; bodies.has(name); i++) name = `${base}-${i}`;
    bodies.set(name, NEVER);
    return name;
  };

  const rule = (hint: string, body: Expr): Expr => {
    if (body.kind === "ref" || isNever(body)) return body;
    const key = printExpr(body);
    const known = namesByBody.get(key);
    if (known !== undefined) return { kind: "ref", name: known };
    const name = freshName(hint);
    bodies.set(name, body);
    namesByBody.set(key, name);
    return { kind: "ref", name };
  };

  const upTo = (item: Expr, max: number): Expr => {
    if (max <= BLOCK) return max === 0 ? EMPTY : { kind: "repeat", item, min: 0, max };
    const block = rule("block", { kind: "repeat", item, min: BLOCK, max: BLOCK });
    const short = rule("short", { kind: "repeat", item, min: 0, max: BLOCK - 1 });
    let tail: Expr = max % BLOCK === 0 ? EMPTY : rule("up-to", upTo(item, max % BLOCK));
    for (let blocks = Math.floor(max / BLOCK); blocks > 0; blocks--) {
      tail = rule("up-to", alt(seq(block, tail), short));
    }
    return tail;
  };

  const times = (item: Expr, min: number, max: number | undefined): Expr => {
    if (isNever(item)) return min === 0 ? EMPTY : NEVER;
    const single = item.kind === "chars" || item.kind === "ref" ? item : rule("item", item);
    const blocks: Expr[] = Array.from({ length: Math.floor(min / BLOCK) }, () =>
      rule("block", { kind: "repeat", item: single, min: BLOCK, max: BLOCK }),
    );
    const rest = min % BLOCK;
    if (max === undefined) return seq(...blocks, { kind: "repeat", item: single, min: rest, max: undefined });
    if (max - min + rest <= BLOCK) {
      if (max - min + rest === 0) return seq(...blocks);
      return seq(...blocks, { kind: "repeat", item: single, min: rest, max: max - min + rest });
    }
    const fixed: Expr = rest === 0 ? EMPTY : { kind: "repeat", item: single, min: rest, max: rest };
    return seq(...blocks, fixed, upTo(single, max - min));
  };

  const made = new Map<string, Expr>();
  const once = (key: string, make: () => Expr): Expr => {
    const known = made.get(key);
    if (known !== undefined) return known;
    const expr = make();
    made.set(key, expr);
    return expr;
  };

  return {
    once,
    reserve: (hint) => ({ kind: "ref", name: freshName(hint) }),
    define: (name, body) => bodies.set(name.name, body),
    rule,
    times,
    print: (root) => printGrammar(root, bodies),
  };
}

function printGrammar(root: Expr, bodies: ReadonlyMap<string, Expr>): string | undefined {
  const { reached, ending } = endingRules(root, bodies);
  const isWhole = reached.size === ending.size;
  const lines: string[] = [];
  const queue: [string, Expr][] = [["root", root]];
  const seen = new Set(["root"]);
  for (const [name, body] of queue) {
    const kept = isWhole ? body : prune(body, ending);
    if (isNever(kept)) return undefined;
    lines.push(`${name} ::= ${printExpr(kept)}`);
    for (const used of refsOf(kept)) {
      if (seen.has(used)) continue;
      seen.add(used);
      queue.push([used, bodies.get(used) ?? NEVER]);
    }
  }
  return `${lines.join("\n")}\n`;
}

function refsOf(expr: Expr, into: string[] = []): readonly string[] {
  if (expr.kind === "ref") into.push(expr.name);
  else if (expr.kind === "seq") for (const item of expr.items) refsOf(item, into);
  else if (expr.kind === "alt") for (const option of expr.options) refsOf(option, into);
  else if (expr.kind === "repeat") refsOf(expr.item, into);
  return into;
}

/** The rules some finite text matches. */
function endingRules(
  root: Expr,
  bodies: ReadonlyMap<string, Expr>,
): { readonly reached: ReadonlySet<string>; readonly ending: ReadonlySet<string> } {
  const users = new Map<string, string[]>();
  const reached = new Set(refsOf(root));
  for (const name of reached) {
    for (const used of refsOf(bodies.get(name) ?? NEVER)) {
      reached.add(used);
      const list = users.get(used);
      if (list === undefined) users.set(used, [name]);
      else list.push(name);
    }
  }
  const ending = new Set<string>();
  const ends = (expr: Expr): boolean => {
    switch (expr.kind) {
      case "text":
      case "chars":
        return true;
      case "ref":
        return ending.has(expr.name);
      case "seq":
        return expr.items.every(ends);
      case "alt":
        return expr.options.some(ends);
      case "repeat":
        return expr.min === 0 || ends(expr.item);
      default:
        return expr satisfies never;
    }
  };
  const work = [...reached];
  for (const name of work) {
    if (ending.has(name) || !ends(bodies.get(name) ?? NEVER)) continue;
    ending.add(name);
    work.push(...(users.get(name) ?? []));
  }
  return { reached, ending };
}

function prune(expr: Expr, ending: ReadonlySet<string>): Expr {
  switch (expr.kind) {
    case "ref":
      return ending.has(expr.name) ? expr : NEVER;
    case "seq":
      return seq(...expr.items.map((item) => prune(item, ending)));
    case "alt":
      return alt(...expr.options.map((option) => prune(option, ending)));
    case "repeat": {
      const item = prune(expr.item, ending);
      return isNever(item) ? (expr.min === 0 ? EMPTY : NEVER) : { ...expr, item };
    }
    case "text":
    case "chars":
      return expr;
    default:
      return expr satisfies never;
  }
}

function printExpr(expr: Expr): string {
  switch (expr.kind) {
    case "text":
      return `"${[...expr.text].map((char) => escapeChar(char, '"')).join("")}"`;
    case "chars":
      return printChars(expr.set);
    case "ref":
      return expr.name;
    case "seq":
      return expr.items.length === 0 ? '""' : expr.items.map(printPart).join(" ");
    case "alt":
      return expr.options.map(printExpr).join(" | ");
    case "repeat": {
      const whole = expr.item.kind === "seq" || expr.item.kind === "repeat";
      return `${whole ? `(${printExpr(expr.item)})` : printPart(expr.item)}${printBounds(expr.min, expr.max)}`;
    }
    default:
      return expr satisfies never;
  }
}

function printPart(expr: Expr): string {
  return expr.kind === "alt" ? `(${printExpr(expr)})` : printExpr(expr);
}

function printBounds(min: number, max: number | undefined): string {
  if (max === undefined) return min === 0 ? "*" : min === 1 ? "+" : `{${min},}`;
  if (min === 0 && max === 1) return "?";
  return min === max ? (min === 1 ? "" : `{${min}}`) : `{${min},${max}}`;
}

function printChars(set: Charset): string {
  if (sameSet(set, ANY_CHAR)) return ".";
  const negated = set.at(-1) === LAST_CODE_POINT;
  const ranges = [...rangesOf(negated ? complement(set) : set)].map(([low, high]) => {
    const [from, to] = [low, high].map((code) => escapeChar(String.fromCodePoint(code), "[]^-"));
    return low === high ? from : high === low + 1 ? `${from}${to}` : `${from}-${to}`;
  });
  return `[${negated ? "^" : ""}${ranges.join("")}]`;
}

function escapeChar(char: string, special: string): string {
  const code = char.codePointAt(0) ?? 0;
  if (char === "\\") return "\\\\";
  if (char === "\n") return "\\n";
  if (code >= 0x20 && code < 0x7f && !special.includes(char)) return char;
  if (code < 0x100) return `\\x${code.toString(16).padStart(2, "0").toUpperCase()}`;
  const isText =
    special === '"' && (code < 0xd800 || code > 0xdfff) && /^[\p{L}\p{N}\p{P}\p{S}]$/u.test(char);
  if (isText) return char;
  return code > 0xffff
    ? `\\U${code.toString(16).padStart(8, "0").toUpperCase()}`
    : `\\u${code.toString(16).padStart(4, "0").toUpperCase()}`;
}
