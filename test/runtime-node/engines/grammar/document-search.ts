import type { Matcher, MatchState } from "./gbnf-matcher.ts";

export type Spacing = "" | " ";

/**
 * Whether the grammar accepts some serialisation of a JSON value: the given spacing, object keys in any order.
 *
 * Orders are searched, not enumerated. Of the keys that may come next, one after which all the others still may is
 * taken first: a key that has once been passed does not come back, so no order is lost by it. Only where there is
 * no such key are all tried.
 */
export function acceptsDocument(matcher: Matcher, value: unknown, spacing: Spacing = ""): boolean {
  const known = new Map<unknown, Map<string, readonly MatchState[]>>();

  const put = (text: string, from: readonly MatchState[]): readonly MatchState[] =>
    distinct(from.flatMap((state) => matcher.advance(state, text) ?? []));

  /** The states after any serialisation of the value. */
  const write = (item: unknown, from: readonly MatchState[]): readonly MatchState[] => {
    if (typeof item !== "object" || item === null)
      return distinct(spellings(item).flatMap((text) => put(text, from)));
    return distinct(
      from.flatMap((state) => {
        const byState = known.get(item) ?? new Map<string, readonly MatchState[]>();
        known.set(item, byState);
        const ends =
          byState.get(state.key) ??
          (Array.isArray(item) ? writeArray(item, state) : writeObject(item, state));
        byState.set(state.key, ends);
        return ends;
      }),
    );
  };

  const writeArray = (items: readonly unknown[], from: MatchState): readonly MatchState[] => {
    let at = put("[", [from]);
    for (const [i, item] of items.entries()) at = write(item, i === 0 ? at : put(`,${spacing}`, at));
    return put("]", at);
  };

  const writeObject = (object: object, from: MatchState): readonly MatchState[] => {
    const entries = Object.entries(object);
    const after = new Map<string, readonly MatchState[]>();
    const member = (state: MatchState, index: number, isFirst: boolean): readonly MatchState[] => {
      const memo = `${index} ${isFirst} ${state.key}`;
      const seen = after.get(memo);
      if (seen !== undefined) return seen;
      const [key, item] = entries[index] ?? ["", undefined];
      const ends = write(
        item,
        put(`${isFirst ? "" : `,${spacing}`}${JSON.stringify(key)}:${spacing}`, [state]),
      );
      after.set(memo, ends);
      return ends;
    };
    const members = (state: MatchState, left: readonly number[]): readonly MatchState[] => {
      if (left.length === 0) return put("}", [state]);
      const isFirst = left.length === entries.length;
      const possible = left.filter((index) => member(state, index, isFirst).length > 0);
      const harmless = possible.find((index) =>
        possible.every(
          (other) =>
            other === index ||
            member(state, index, isFirst).some((end) => member(end, other, false).length > 0),
        ),
      );
      return distinct(
        (harmless === undefined ? possible : [harmless]).flatMap((index) => {
          const rest = left.filter((other) => other !== index);
          return member(state, index, isFirst).flatMap((end) => members(end, rest));
        }),
      );
    };
    return distinct(put("{", [from]).flatMap((state) => members(state, [...entries.keys()])));
  };

  return write(value, [matcher.start]).some((state) => state.canEnd);
}

function distinct(states: readonly MatchState[]): readonly MatchState[] {
  return states.length < 2 ? states : [...new Map(states.map((state) => [state.key, state])).values()];
}

/** JSON.stringify's, and numbers also without an exponent. */
function spellings(value: unknown): string[] {
  const text = JSON.stringify(value) ?? "null";
  if (typeof value !== "number" || !/e/.test(text)) return [text];
  const plain = Math.abs(value) < 1 ? value.toFixed(20).replace(/0+$/, "") : BigInt(value).toString();
  return [text, plain];
}
