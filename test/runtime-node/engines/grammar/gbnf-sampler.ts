import { type Gbnf, type GbnfNode, matchesChar } from "./gbnf-matcher.ts";

/** Draws texts of a grammar as a sampler with no taste would: every way on is as likely as the next. */
export function createTextSampler(rules: Gbnf, random: () => number): (budget: number) => string {
  const costs = shortest(rules);
  const costOf = (node: GbnfNode): number => nodeCost(node, costs);

  return (budget) => {
    let out = "";
    /** What is left to write, last first: right recursion makes texts, not stack frames. */
    const stack: GbnfNode[] = [{ kind: "call", rule: "root" }];
    for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
      const isLong = out.length > budget;
      switch (node.kind) {
        case "chars":
          out += pickChar(node, random);
          break;
        case "call":
          stack.push(rules.get(node.rule) ?? { kind: "alt", options: [] });
          break;
        case "seq":
          stack.push(...[...node.items].reverse());
          break;
        case "alt": {
          const open = node.options.filter((option) => costOf(option) < Infinity);
          const least = Math.min(...open.map(costOf));
          const choices = isLong ? open.filter((option) => costOf(option) === least) : open;
          stack.push(choices[Math.floor(random() * choices.length)] ?? { kind: "seq", items: [] });
          break;
        }
        case "repeat": {
          const goesOn = !isLong && node.max > 0 && random() < 0.7;
          if (node.min === 0 && !goesOn) break;
          stack.push({ ...node, min: Math.max(0, node.min - 1), max: node.max - 1 }, node.item);
          break;
        }
        default:
          node satisfies never;
      }
    }
    return out;
  };
}

function nodeCost(node: GbnfNode, costs: ReadonlyMap<string, number>): number {
  switch (node.kind) {
    case "chars":
      return 1;
    case "call":
      return costs.get(node.rule) ?? Infinity;
    case "seq":
      return node.items.reduce((sum, item) => sum + nodeCost(item, costs), 0);
    case "alt":
      return Math.min(...node.options.map((option) => nodeCost(option, costs)));
    case "repeat":
      return node.min === 0 ? 0 : node.min * nodeCost(node.item, costs);
    default:
      return node satisfies never;
  }
}

/** The length of the shortest text of each rule. */
function shortest(rules: Gbnf): ReadonlyMap<string, number> {
  const costs = new Map<string, number>();
  for (let isDone = false; !isDone; ) {
    isDone = true;
    for (const [name, node] of rules) {
      const cost = nodeCost(node, costs);
      if (cost >= (costs.get(name) ?? Infinity)) continue;
      costs.set(name, cost);
      isDone = false;
    }
  }
  return costs;
}

const SPREAD = "abcxyzABZ0159 _-.:/@\"\\\n\t\u0001{}[],'é中😀\u2028";

function pickChar(node: GbnfNode & { readonly kind: "chars" }, random: () => number): string {
  const wanted = [...SPREAD].filter((char) => matchesChar(node, char.codePointAt(0) ?? 0));
  if (wanted.length > 0 && (node.negated || random() < 0.5))
    return wanted[Math.floor(random() * wanted.length)] ?? "";
  for (let code = 0x20; node.negated && code < 0x3000; code++) {
    if (matchesChar(node, code)) return String.fromCodePoint(code);
  }
  const [low, high] = node.ranges[Math.floor(random() * node.ranges.length)] ?? [0x61, 0x61];
  return String.fromCodePoint(low + Math.floor(random() * (high - low + 1)));
}
