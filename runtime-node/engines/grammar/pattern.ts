import { type Dfa, explore, intersectDfa, NO_TEXT, subtractDfa, uniteDfa } from "./automaton.ts";
import { ANY_CHAR, atomsOf, type Charset, contains } from "./charset.ts";
import { type PatternNode, parsePattern } from "./pattern-syntax.ts";
import { TooLarge } from "./refusal.ts";

/** Bounds what counted repeats unroll to before it is made deterministic. */
const NFA_LIMIT = 40_000;

/**
 * The texts an ECMA-262 pattern finds a match in, as JSON Schema's `pattern` means it: not anchored unless the
 * pattern says so. Throws `PatternError` for what is not regular and `TooLarge` past the bounds.
 */
export function patternLanguage(source: string): Dfa {
  const node = parsePattern(source);
  return hasLookahead(node) ? withLookaheads(node) : searchLanguage(node);
}

function hasLookahead(node: PatternNode): boolean {
  switch (node.kind) {
    case "look":
      return true;
    case "seq":
      return node.items.some(hasLookahead);
    case "alt":
      return node.options.some(hasLookahead);
    case "repeat":
      return hasLookahead(node.item);
    case "set":
    case "start":
    case "end":
      return false;
    default:
      return node satisfies never;
  }
}

/** Lookaheads at the very start, `^(?=.*[0-9])(?!x).{8,}$`, are an intersection; anywhere else they are refused. */
function withLookaheads(node: PatternNode): Dfa {
  const options = node.kind === "alt" ? node.options : [node];
  return options.map(lookaheadBranch).reduce(uniteDfa, NO_TEXT);
}

function lookaheadBranch(node: PatternNode): Dfa {
  const items = node.kind === "seq" ? node.items : [node];
  const heads = items.findIndex((item) => item.kind !== "start" && item.kind !== "look");
  const [leading, rest] = heads < 0 ? [items, []] : [items.slice(0, heads), items.slice(heads)];
  const anchored = leading.some((item) => item.kind === "start");
  if (rest.some(hasLookahead) || (leading.length > 0 && !anchored)) {
    throw new TooLarge("a lookahead is supported only right after a leading `^`");
  }
  const start: PatternNode = { kind: "start" };
  let language = searchLanguage({ kind: "seq", items: anchored ? [start, ...rest] : rest });
  for (const item of leading) {
    if (item.kind !== "look") continue;
    if (hasLookahead(item.item)) throw new TooLarge("nested lookaheads are not supported");
    const ahead = searchLanguage({ kind: "seq", items: [start, item.item] });
    language = item.negative ? subtractDfa(language, ahead) : intersectDfa(language, ahead);
  }
  return language;
}

interface NfaState {
  readonly moves: { readonly on: Charset; readonly to: number }[];
  readonly free: number[];
  readonly atStart: number[];
  readonly atEnd: number[];
}

function searchLanguage(node: PatternNode): Dfa {
  const states: NfaState[] = [];
  const add = (): number => {
    if (states.length >= NFA_LIMIT) throw new TooLarge("the pattern unrolls to too many states");
    return states.push({ moves: [], free: [], atStart: [], atEnd: [] }) - 1;
  };
  const before = add();
  const after = add();
  states[before]?.moves.push({ on: ANY_CHAR, to: before });
  const [first, last] = thompson(node, states, add);
  states[before]?.free.push(first);
  states[last]?.free.push(after);
  return determinise(states, before, after);
}

/** Adds the states that match `node`; answers its entry and exit. */
function thompson(node: PatternNode, states: NfaState[], add: () => number): readonly [number, number] {
  const entry = add();
  switch (node.kind) {
    case "set": {
      const exit = add();
      if (node.set.length > 0) states[entry]?.moves.push({ on: node.set, to: exit });
      return [entry, exit];
    }
    case "start":
    case "end": {
      const exit = add();
      states[entry]?.[node.kind === "start" ? "atStart" : "atEnd"].push(exit);
      return [entry, exit];
    }
    case "seq": {
      let at = entry;
      for (const item of node.items) {
        const [first, last] = thompson(item, states, add);
        states[at]?.free.push(first);
        at = last;
      }
      return [entry, at];
    }
    case "alt": {
      const exit = add();
      for (const option of node.options) {
        const [first, last] = thompson(option, states, add);
        states[entry]?.free.push(first);
        states[last]?.free.push(exit);
      }
      return [entry, exit];
    }
    case "repeat": {
      let at = entry;
      for (let i = 0; i < node.min; i++) {
        const [first, last] = thompson(node.item, states, add);
        states[at]?.free.push(first);
        at = last;
      }
      const exit = add();
      states[at]?.free.push(exit);
      for (let i = node.min; i < (node.max ?? node.min + 1); i++) {
        const [first, last] = thompson(node.item, states, add);
        states[at]?.free.push(first);
        states[last]?.free.push(exit, ...(node.max === undefined ? [first] : []));
        at = last;
      }
      return [entry, exit];
    }
    case "look":
      throw new TooLarge("a lookahead is supported only right after a leading `^`");
    default:
      return node satisfies never;
  }
}

/** The subset construction; once `after` is reached the rest of the text is free. */
function determinise(states: readonly NfaState[], start: number, after: number): Dfa {
  const close = (seeds: Iterable<number>, atStart: boolean, atEnd: boolean): Set<number> => {
    const seen = new Set(seeds);
    for (const id of seen) {
      const state = states[id];
      for (const to of state?.free ?? []) seen.add(to);
      if (atStart) for (const to of state?.atStart ?? []) seen.add(to);
      if (atEnd) for (const to of state?.atEnd ?? []) seen.add(to);
    }
    return seen;
  };
  const atoms = atomsOf(states.flatMap((state) => state.moves.map((move) => move.on)));
  const atomIdsBySet = new Map<string, number[]>();
  const atomIds = (set: Charset): number[] => {
    const key = set.join();
    let ids = atomIdsBySet.get(key);
    if (ids === undefined) {
      ids = atoms.flatMap((atom, i) => (contains(set, atom[0] ?? 0) ? [i] : []));
      atomIdsBySet.set(key, ids);
    }
    return ids;
  };
  interface Subset {
    readonly ids: readonly number[];
    readonly isFirst: boolean;
  }
  const subset = (seeds: Iterable<number>, isFirst: boolean): Subset => {
    const closed = close(seeds, isFirst, false);
    if (closed.has(after)) return { ids: [after], isFirst: false };
    const useful = [...closed].filter((id) => {
      const state = states[id];
      return state !== undefined && (state.moves.length > 0 || state.atEnd.length > 0);
    });
    return { ids: useful.sort((a, b) => a - b), isFirst };
  };
  return explore<Subset>({
    start: subset([start], true),
    key: ({ ids, isFirst }) => `${isFirst ? "^" : ""}${ids.join()}`,
    accepts: ({ ids, isFirst }) => ids[0] === after || close(ids, isFirst, true).has(after),
    moves: (from) => {
      if (from.ids[0] === after) return [[ANY_CHAR, from]];
      const targets = atoms.map((): number[] => []);
      for (const id of from.ids) {
        for (const move of states[id]?.moves ?? []) {
          for (const atom of atomIds(move.on)) targets[atom]?.push(move.to);
        }
      }
      return targets.flatMap((seeds, atom) =>
        seeds.length === 0 ? [] : [[atoms[atom] ?? [], subset(seeds, false)] as const],
      );
    },
  });
}
