/**
 * Regular languages over code points as deterministic automata. Strings, keys and numbers all become one before
 * they become rules, so intersection, union and complement are exact, and the grammar they compile to has one
 * parse: llama.cpp then keeps one stack instead of one a reading.
 */
import { ANY_CHAR, atomsOf, type Charset, codePoint, contains, intersect, union } from "./charset.ts";
import { TooLarge } from "./refusal.ts";

/** State 0 is the start; -1 is the state nothing is accepted from. */
export interface Dfa {
  /** A partition of all code points. */
  readonly atoms: readonly Charset[];
  /** The next state by state and atom. */
  readonly next: readonly (readonly number[])[];
  readonly accepting: readonly boolean[];
}

export const DEAD = -1;
/** Past this the grammar would cost more to load than the constraint is worth. */
export const STATE_LIMIT = 6_000;

/** Any text at all. */
export const ANY_TEXT: Dfa = { atoms: [ANY_CHAR], next: [[0]], accepting: [true] };

/** No text at all. */
export const NO_TEXT: Dfa = { atoms: [ANY_CHAR], next: [[DEAD]], accepting: [false] };

/**
 * Walks a deterministic machine given by functions. `moves` must not overlap; what they leave out is dead.
 * Throws `TooLarge` past the state limit.
 */
export function explore<S>(machine: {
  readonly start: S;
  readonly key: (state: S) => string;
  readonly moves: (state: S) => readonly (readonly [Charset, S])[];
  readonly accepts: (state: S) => boolean;
}): Dfa {
  const ids = new Map([[machine.key(machine.start), 0]]);
  const queue = [machine.start];
  const edges: { on: Charset; to: number }[][] = [];
  const accepting: boolean[] = [];
  for (let at = 0; at < queue.length; at++) {
    const state = queue[at];
    if (state === undefined) break;
    accepting.push(machine.accepts(state));
    edges.push(
      machine.moves(state).map(([on, target]) => {
        const key = machine.key(target);
        let to = ids.get(key);
        if (to === undefined) {
          to = queue.length;
          ids.set(key, to);
          queue.push(target);
          if (queue.length > STATE_LIMIT) throw new TooLarge(`more than ${STATE_LIMIT} states`);
        }
        return { on, to };
      }),
    );
  }
  const atoms = atomsOf(edges.flat().map((edge) => edge.on));
  const next = edges.map((list) =>
    atoms.map((atom) => list.find((edge) => contains(edge.on, atom[0] ?? 0))?.to ?? DEAD),
  );
  return minimise({ atoms, next, accepting });
}

/** Texts of `min` to `max` code points. */
export function fromLength(min: number, max: number | undefined): Dfa {
  const last = max ?? min;
  return explore({
    start: 0,
    key: String,
    moves: (count) => (count < last ? [[ANY_CHAR, count + 1]] : max === undefined ? [[ANY_CHAR, count]] : []),
    accepts: (count) => count >= min,
  });
}

function combine(a: Dfa, b: Dfa, keep: (inA: boolean, inB: boolean) => boolean): Dfa {
  const atoms: { on: Charset; i: number; j: number }[] = [];
  for (const [i, left] of a.atoms.entries()) {
    for (const [j, right] of b.atoms.entries()) {
      const on = intersect(left, right);
      if (on.length > 0) atoms.push({ on, i, j });
    }
  }
  const alive = (x: number, y: number): boolean =>
    (x !== DEAD || keep(false, true)) && (y !== DEAD || keep(true, false)) && (x !== DEAD || y !== DEAD);
  const ids = new Map<string, number>();
  const pairs: [number, number][] = [];
  const idOf = (x: number, y: number): number => {
    if (!alive(x, y)) return DEAD;
    const key = `${x},${y}`;
    const known = ids.get(key);
    if (known !== undefined) return known;
    if (pairs.length >= STATE_LIMIT) throw new TooLarge(`more than ${STATE_LIMIT} states`);
    ids.set(key, pairs.length);
    return pairs.push([x, y]) - 1;
  };
  idOf(0, 0);
  const next: number[][] = [];
  for (let at = 0; at < pairs.length; at++) {
    const [x, y] = pairs[at] ?? [DEAD, DEAD];
    next.push(atoms.map(({ i, j }) => idOf(a.next[x]?.[i] ?? DEAD, b.next[y]?.[j] ?? DEAD)));
  }
  const accepting = pairs.map(([x, y]) => keep(a.accepting[x] ?? false, b.accepting[y] ?? false));
  return minimise({ atoms: atoms.map((atom) => atom.on), next, accepting });
}

export function intersectDfa(a: Dfa, b: Dfa): Dfa {
  if (a === ANY_TEXT) return b;
  if (b === ANY_TEXT) return a;
  return combine(a, b, (inA, inB) => inA && inB);
}

export function uniteDfa(a: Dfa, b: Dfa): Dfa {
  return combine(a, b, (inA, inB) => inA || inB);
}

export function subtractDfa(a: Dfa, b: Dfa): Dfa {
  return combine(a, b, (inA, inB) => inA && !inB);
}

export function isEmpty(dfa: Dfa): boolean {
  return !dfa.accepting.some(Boolean);
}

/** Everything is accepted from this state on. */
export function isUniversal(dfa: Dfa, state: number): boolean {
  return (dfa.accepting[state] ?? false) && (dfa.next[state]?.every((to) => to === state) ?? false);
}

export function acceptsText(dfa: Dfa, text: string): boolean {
  let state = 0;
  for (const char of text) {
    const code = codePoint(char);
    const atom = dfa.atoms.findIndex((set) => contains(set, code));
    state = dfa.next[state]?.[atom] ?? DEAD;
    if (state === DEAD) return false;
  }
  return dfa.accepting[state] ?? false;
}

/** The edges of a state, one a target. */
export function edgesOf(dfa: Dfa, state: number): { readonly on: Charset; readonly to: number }[] {
  const byTarget = new Map<number, Charset[]>();
  for (const [atom, to] of (dfa.next[state] ?? []).entries()) {
    const set = dfa.atoms[atom];
    if (to === DEAD || set === undefined) continue;
    const sets = byTarget.get(to);
    if (sets === undefined) byTarget.set(to, [set]);
    else sets.push(set);
  }
  return [...byTarget].map(([to, sets]) => ({ on: union(...sets), to }));
}

/** Cuts states that lead nowhere, merges equal ones and numbers what is left from the start. */
function minimise(dfa: Dfa): Dfa {
  const live = liveStates(dfa);
  if (!live[0]) return NO_TEXT;
  const classes = refine(dfa, live);
  const ids = new Map<number, number>();
  const members: number[] = [];
  const idOf = (state: number): number => {
    if (state === DEAD || !live[state]) return DEAD;
    const group = classes[state] ?? DEAD;
    const known = ids.get(group);
    if (known !== undefined) return known;
    ids.set(group, members.length);
    return members.push(state) - 1;
  };
  idOf(0);
  const next: number[][] = [];
  for (let at = 0; at < members.length; at++) {
    next.push((dfa.next[members[at] ?? 0] ?? []).map(idOf));
  }
  return mergeAtoms({
    atoms: dfa.atoms,
    next,
    accepting: members.map((state) => dfa.accepting[state] ?? false),
  });
}

function liveStates(dfa: Dfa): boolean[] {
  const sources: number[][] = dfa.next.map(() => []);
  for (const [from, row] of dfa.next.entries()) {
    for (const to of new Set(row)) if (to !== DEAD) sources[to]?.push(from);
  }
  const live = dfa.accepting.map(() => false);
  const queue = dfa.accepting.flatMap((accepts, state) => (accepts ? [state] : []));
  for (const state of queue) live[state] = true;
  for (let at = 0; at < queue.length; at++) {
    for (const from of sources[queue[at] ?? 0] ?? []) {
      if (live[from]) continue;
      live[from] = true;
      queue.push(from);
    }
  }
  return live;
}

/** Hopcroft's partition refinement; dead states share one more class. */
function refine(dfa: Dfa, live: readonly boolean[]): number[] {
  const count = dfa.next.length;
  const dead = count;
  const sources = dfa.atoms.map(() => Array.from({ length: count + 1 }, (): number[] => []));
  for (let state = 0; state < count; state++) {
    for (const [atom, to] of (dfa.next[state] ?? []).entries()) {
      sources[atom]?.[to === DEAD || !live[to] ? dead : to]?.push(state);
    }
  }
  const classOf = Array.from({ length: count + 1 }, (_, state): number =>
    state === dead || !live[state] ? 2 : dfa.accepting[state] ? 1 : 0,
  );
  const blocks: number[][] = [[], [], []];
  for (const [state, group] of classOf.entries()) blocks[group]?.push(state);
  const work = [0, 1, 2];
  const queued = new Set(work);
  while (work.length > 0) {
    const splitter = work.pop() ?? 0;
    queued.delete(splitter);
    const members = [...(blocks[splitter] ?? [])];
    for (const bySource of sources) {
      const touched = new Map<number, number[]>();
      for (const state of members) {
        for (const from of bySource[state] ?? []) {
          const group = classOf[from] ?? 0;
          const list = touched.get(group);
          if (list === undefined) touched.set(group, [from]);
          else list.push(from);
        }
      }
      for (const [group, hit] of touched) {
        const block = blocks[group] ?? [];
        if (hit.length === block.length) continue;
        const moved = new Set(hit);
        const fresh = blocks.length;
        blocks[group] = block.filter((state) => !moved.has(state));
        blocks.push(hit);
        for (const state of hit) classOf[state] = fresh;
        const smaller = queued.has(group) || hit.length <= (blocks[group]?.length ?? 0) ? fresh : group;
        work.push(smaller);
        queued.add(smaller);
      }
    }
  }
  return classOf;
}

/** One atom for all characters no state tells apart. */
export function mergeAtoms(dfa: Dfa): Dfa {
  const columns = new Map<string, number[]>();
  for (const atom of dfa.atoms.keys()) {
    const column = dfa.next.map((row) => row[atom]).join();
    const list = columns.get(column);
    if (list === undefined) columns.set(column, [atom]);
    else list.push(atom);
  }
  const groups = [...columns.values()];
  return {
    atoms: groups.map((group) => union(...group.map((atom) => dfa.atoms[atom] ?? []))),
    next: dfa.next.map((row) => groups.map((group) => row[group[0] ?? 0] ?? DEAD)),
    accepting: dfa.accepting,
  };
}
