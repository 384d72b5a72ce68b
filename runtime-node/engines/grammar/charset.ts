/** A set of code points as sorted, disjoint, non-adjacent ranges: `[low, high, low, high, …]`. */
export type Charset = readonly number[];

export const LAST_CODE_POINT = 0x10ffff;
export const ANY_CHAR: Charset = [0, LAST_CODE_POINT];
export const NO_CHAR: Charset = [];

/** From ranges in any order, which may overlap: `charset([65, 90], [97, 122])`. */
export function charset(...ranges: readonly (readonly [number, number])[]): Charset {
  const merged: number[] = [];
  for (const [low, high] of [...ranges].sort((a, b) => a[0] - b[0])) {
    const last = merged.length - 1;
    const end = merged[last];
    if (end !== undefined && low <= end + 1) merged[last] = Math.max(end, high);
    else merged.push(low, high);
  }
  return merged;
}

/** The characters of a text, one by one. */
export function charsOf(text: string): Charset {
  return charset(
    ...[...text].map((char): [number, number] => {
      const code = codePoint(char);
      return [code, code];
    }),
  );
}

export function codePoint(char: string): number {
  return char.codePointAt(0) ?? 0;
}

export function* rangesOf(set: Charset): Generator<[number, number]> {
  for (let i = 0; i + 1 < set.length; i += 2) yield [set[i] ?? 0, set[i + 1] ?? 0];
}

export function union(...sets: readonly Charset[]): Charset {
  return charset(...sets.flatMap((set) => [...rangesOf(set)]));
}

export function complement(set: Charset): Charset {
  const out: number[] = [];
  let next = 0;
  for (const [low, high] of rangesOf(set)) {
    if (low > next) out.push(next, low - 1);
    next = high + 1;
  }
  if (next <= LAST_CODE_POINT) out.push(next, LAST_CODE_POINT);
  return out;
}

export function intersect(a: Charset, b: Charset): Charset {
  const out: number[] = [];
  let i = 0;
  let j = 0;
  while (i + 1 < a.length && j + 1 < b.length) {
    const low = Math.max(a[i] ?? 0, b[j] ?? 0);
    const aHigh = a[i + 1] ?? 0;
    const bHigh = b[j + 1] ?? 0;
    if (low <= Math.min(aHigh, bHigh)) out.push(low, Math.min(aHigh, bHigh));
    if (aHigh < bHigh) i += 2;
    else j += 2;
  }
  return out;
}

export function minus(a: Charset, b: Charset): Charset {
  return intersect(a, complement(b));
}

export function contains(set: Charset, code: number): boolean {
  for (const [low, high] of rangesOf(set)) {
    if (code < low) return false;
    if (code <= high) return true;
  }
  return false;
}

export function countOf(set: Charset): number {
  let count = 0;
  for (const [low, high] of rangesOf(set)) count += high - low + 1;
  return count;
}

export function sameSet(a: Charset, b: Charset): boolean {
  return a.length === b.length && a.every((value, i) => value === b[i]);
}

/** The coarsest partition of all code points which no given set cuts through. */
export function atomsOf(sets: readonly Charset[]): Charset[] {
  const distinct = [...new Map(sets.map((set) => [set.join(), set])).values()];
  const cuts = new Set<number>([0]);
  for (const set of distinct) {
    for (const [low, high] of rangesOf(set)) {
      cuts.add(low);
      if (high < LAST_CODE_POINT) cuts.add(high + 1);
    }
  }
  const starts = [...cuts].sort((a, b) => a - b);
  const cursors = distinct.map(() => 0);
  const groups = new Map<string, [number, number][]>();
  for (const [i, low] of starts.entries()) {
    const high = (starts[i + 1] ?? LAST_CODE_POINT + 1) - 1;
    const member = distinct.map((set, k) => {
      let at = cursors[k] ?? 0;
      while (at + 1 < set.length && (set[at + 1] ?? 0) < low) at += 2;
      cursors[k] = at;
      return at + 1 < set.length && (set[at] ?? 0) <= low ? "1" : "0";
    });
    const key = member.join("");
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [[low, high]]);
    else group.push([low, high]);
  }
  return [...groups.values()].map((ranges) => charset(...ranges));
}
