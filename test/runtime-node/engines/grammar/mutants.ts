const VALUES: readonly unknown[] = [
  null,
  true,
  0,
  1,
  -2,
  2.5,
  10,
  "",
  "a",
  "ab",
  "foo",
  [],
  {},
  [1],
  { a: 1 },
];
const KEYS = ["a", "ab", "abc", "b", "x1", "zz", "né"];

/** Documents one change away from this one: a key more or less, another value, another item. */
export function mutants(document: unknown, random: () => number): unknown[] {
  const pick = <T>(list: readonly T[]): T | undefined => list[Math.floor(random() * list.length)];
  const out: unknown[] = [pick(VALUES)];
  if (Array.isArray(document)) {
    out.push([...document, pick(VALUES)], document.slice(1), [pick(VALUES), ...document.slice(1)]);
    const at = Math.floor(random() * document.length);
    if (document.length > 0)
      out.push(...mutants(document[at], random).map((item) => document.with(at, item)));
  } else if (typeof document === "object" && document !== null) {
    const entries = Object.entries(document);
    out.push({ ...document, [pick(KEYS) ?? "a"]: pick(VALUES) });
    const at = Math.floor(random() * entries.length);
    const [key, value] = entries[at] ?? [];
    if (key !== undefined) {
      out.push(Object.fromEntries(entries.filter(([other]) => other !== key)));
      out.push(...mutants(value, random).map((item) => Object.fromEntries(entries.with(at, [key, item]))));
    }
  } else if (typeof document === "string")
    out.push(`${document}a`, [...document].slice(1).join(""), `${document}\n`);
  else if (typeof document === "number")
    out.push(document + 1, -document, document / 2, Math.round(document));
  return out;
}
