/**
 * A small, exact reader and matcher of GBNF over code points, written from the format's guide and knowing nothing of
 * the converter: the judge of its grammars. `llama-matcher.test.ts` checks the judge against llama.cpp itself.
 */

/** A place in a rule: what must match here, and where it goes on. */
export type GbnfNode =
  | {
      readonly kind: "chars";
      readonly negated: boolean;
      readonly ranges: readonly (readonly [number, number])[];
    }
  | { readonly kind: "call"; readonly rule: string }
  | { readonly kind: "seq"; readonly items: readonly GbnfNode[] }
  | { readonly kind: "alt"; readonly options: readonly GbnfNode[] }
  | { readonly kind: "repeat"; readonly item: GbnfNode; readonly min: number; readonly max: number };

export type Gbnf = ReadonlyMap<string, GbnfNode>;

export function parseGbnf(source: string): Gbnf {
  const rules = new Map<string, GbnfNode>();
  let at = 0;
  const fail = (reason: string): never => {
    throw new Error(`GBNF: ${reason} at ${at}: ${JSON.stringify(source.slice(at, at + 40))}`);
  };
  const space = (newlines: boolean): void => {
    const pattern = newlines ? /(?:[ \t\r\n]|#[^\n]*)*/y : /[ \t]*/y;
    pattern.lastIndex = at;
    at += pattern.exec(source)?.[0].length ?? 0;
  };
  const take = (pattern: RegExp): string | undefined => {
    const sticky = new RegExp(pattern.source, "uy");
    sticky.lastIndex = at;
    const found = sticky.exec(source)?.[0];
    if (found !== undefined) at += found.length;
    return found;
  };
  const char = (): number => {
    const escaped = take(/\\(?:x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|[tnr\\"[\]])/);
    if (escaped === undefined) {
      const plain = take(/[^\\]/) ?? fail("no character");
      return plain.codePointAt(0) ?? 0;
    }
    const letter = escaped[1] ?? "";
    if ("xuU".includes(letter)) return Number.parseInt(escaped.slice(2), 16);
    return ({ t: "\t", n: "\n", r: "\r" }[letter] ?? letter).codePointAt(0) ?? 0;
  };
  const alternatives = (nested: boolean): GbnfNode => {
    const options = [sequence(nested)];
    while (take(/\|/) !== undefined) {
      space(true);
      options.push(sequence(nested));
    }
    return { kind: "alt", options };
  };
  const sequence = (nested: boolean): GbnfNode => {
    const items: GbnfNode[] = [];
    for (;;) {
      const item = element();
      if (item === undefined) return { kind: "seq", items };
      items.push(repeats(item));
      space(nested);
    }
  };
  const repeats = (item: GbnfNode): GbnfNode => {
    const mark = take(/[*+?]|\{\d+(?:,\d*)?\}/);
    if (mark === undefined) return item;
    const [, low, comma, high] = /^\{(\d+)(,?)(\d*)\}$/.exec(mark) ?? [];
    const min = low === undefined ? (mark === "+" ? 1 : 0) : Number(low);
    const max =
      low === undefined
        ? mark === "?"
          ? 1
          : Infinity
        : comma === ""
          ? min
          : high === ""
            ? Infinity
            : Number(high);
    // llama.cpp makes a maximum past 2,000 unbounded without a word: a grammar must not lean on one.
    if (max !== Infinity && max >= 2_000) fail("a repeat llama.cpp does not keep");
    return { kind: "repeat", item, min, max };
  };
  const element = (): GbnfNode | undefined => {
    if (take(/"/) !== undefined) {
      const items: GbnfNode[] = [];
      while (take(/"/) === undefined) {
        const code = char();
        items.push({ kind: "chars", negated: false, ranges: [[code, code]] });
      }
      return { kind: "seq", items };
    }
    if (take(/\[/) !== undefined) {
      const negated = take(/\^/) !== undefined;
      const ranges: [number, number][] = [];
      while (take(/\]/) === undefined) {
        const low = char();
        ranges.push([low, take(/-(?!\])/) === undefined ? low : char()]);
      }
      return { kind: "chars", negated, ranges };
    }
    if (take(/\./) !== undefined) return { kind: "chars", negated: true, ranges: [] };
    if (take(/\(/) !== undefined) {
      space(true);
      const inner = alternatives(true);
      if (take(/\)/) === undefined) fail("a group is not closed");
      return inner;
    }
    const rule = take(/[a-zA-Z0-9-]+/);
    return rule === undefined ? undefined : { kind: "call", rule };
  };
  space(true);
  while (at < source.length) {
    const name = take(/[a-zA-Z0-9-]+/) ?? fail("no rule name");
    space(false);
    if (take(/::=/) === undefined) fail("no ::=");
    space(true);
    rules.set(name, alternatives(false));
    if (at < source.length && take(/\r?\n/) === undefined) fail("no end of line");
    space(true);
  }
  for (const node of rules.values()) checkCalls(node, rules);
  return rules;
}

function checkCalls(node: GbnfNode, rules: Gbnf): void {
  if (node.kind === "call" && !rules.has(node.rule)) throw new Error(`GBNF: undefined rule ${node.rule}`);
  if (node.kind === "seq") for (const item of node.items) checkCalls(item, rules);
  if (node.kind === "alt") for (const option of node.options) checkCalls(option, rules);
  if (node.kind === "repeat") checkCalls(node.item, rules);
}

export function matchesChar(node: GbnfNode & { readonly kind: "chars" }, code: number): boolean {
  return node.ranges.some(([low, high]) => code >= low && code <= high) !== node.negated;
}

/** What is left to match, innermost first; interned, so equal rests are the same object. */
interface Rest {
  readonly id: number;
  readonly node: GbnfNode;
  readonly count: number;
  readonly next: Rest | undefined;
}

/** All the ways a text may go on; its `key` is equal for equal sets. */
export interface MatchState {
  readonly key: string;
  readonly rests: readonly Rest[];
  readonly canEnd: boolean;
}

export interface Matcher {
  readonly start: MatchState;
  /** Undefined once no text that starts so matches. */
  advance(state: MatchState, text: string): MatchState | undefined;
  matches(text: string): boolean;
}

export function createMatcher(grammar: string | Gbnf): Matcher {
  const rules = typeof grammar === "string" ? parseGbnf(grammar) : grammar;
  const interned = new Map<string, Rest>();
  const nodeIds = new Map<GbnfNode, number>();
  const push = (node: GbnfNode, next: Rest | undefined, count = 0): Rest => {
    const nodeId = nodeIds.get(node) ?? nodeIds.size;
    nodeIds.set(node, nodeId);
    const key = `${nodeId}.${count}.${next?.id ?? ""}`;
    let rest = interned.get(key);
    if (rest === undefined) {
      rest = { id: interned.size, node, count, next };
      interned.set(key, rest);
    }
    return rest;
  };

  /** Opens calls, groups and repeats until each rest starts with characters. */
  const close = (seeds: readonly (Rest | undefined)[]): MatchState => {
    const seen = new Set<Rest>();
    const ready: Rest[] = [];
    let canEnd = false;
    const work = [...seeds];
    for (const rest of work) {
      if (rest === undefined) {
        canEnd = true;
        continue;
      }
      if (seen.has(rest)) continue;
      seen.add(rest);
      const { node, next, count } = rest;
      switch (node.kind) {
        case "chars":
          ready.push(rest);
          break;
        case "call":
          work.push(push(rules.get(node.rule) ?? { kind: "alt", options: [] }, next));
          break;
        case "seq":
          if (count >= node.items.length) work.push(next);
          else {
            const after = count + 1 < node.items.length ? push(node, next, count + 1) : next;
            work.push(push(node.items[count] ?? node, after));
          }
          break;
        case "alt":
          for (const option of node.options) work.push(push(option, next));
          break;
        case "repeat": {
          if (count >= node.min) work.push(next);
          const bounded = node.max === Infinity ? Math.min(count + 1, node.min) : count + 1;
          if (count < node.max) work.push(push(node.item, push(node, next, bounded)));
          break;
        }
        default:
          node satisfies never;
      }
    }
    ready.sort((a, b) => a.id - b.id);
    return { key: `${ready.map((rest) => rest.id).join()}${canEnd ? "$" : ""}`, rests: ready, canEnd };
  };

  const steps = new Map<string, MatchState | null>();
  const step = (state: MatchState, char: string): MatchState | undefined => {
    const key = `${char}${state.key}`;
    const known = steps.get(key);
    if (known !== undefined) return known ?? undefined;
    const code = char.codePointAt(0) ?? 0;
    const matched = state.rests.filter(({ node }) => node.kind === "chars" && matchesChar(node, code));
    const next = matched.length === 0 ? undefined : close(matched.map((rest) => rest.next));
    steps.set(key, next ?? null);
    return next;
  };

  const advance = (state: MatchState, text: string): MatchState | undefined => {
    let at: MatchState | undefined = state;
    for (const char of text) {
      if (at === undefined) return undefined;
      at = step(at, char);
    }
    return at;
  };

  const start = close([push({ kind: "call", rule: "root" }, undefined)]);
  return { start, advance, matches: (text) => advance(start, text)?.canEnd ?? false };
}
