import { DEAD, type Dfa, mergeAtoms } from "./automaton.ts";
import { charset, codePoint, complement, union } from "./charset.ts";
import { TooLarge } from "./refusal.ts";

interface TrieNode {
  ends: boolean;
  readonly to: Map<number, TrieNode>;
}

const NOWHERE: TrieNode = { ends: false, to: new Map() };
const TRIE_LIMIT = 200_000;

/** Exactly these texts, with equal endings shared as well as beginnings. Throws `TooLarge`. */
export function fromWords(words: Iterable<string>): Dfa {
  const root: TrieNode = { ends: false, to: new Map() };
  let size = 1;
  for (const word of words) {
    let at = root;
    for (const char of word) {
      const code = codePoint(char);
      let next = at.to.get(code);
      if (next === undefined) {
        next = { ends: false, to: new Map() };
        at.to.set(code, next);
        if (++size > TRIE_LIMIT) throw new TooLarge(`more than ${TRIE_LIMIT} characters are listed`);
      }
      at = next;
    }
    at.ends = true;
  }
  const known = new Map<string, TrieNode>();
  const ids = new Map<TrieNode, number>();
  const shared = (node: TrieNode): TrieNode => {
    for (const [code, child] of node.to) node.to.set(code, shared(child));
    const key = `${node.ends} ${[...node.to]
      .map(([code, child]) => `${code}:${ids.get(child)}`)
      .sort()
      .join()}`;
    const same = known.get(key);
    if (same !== undefined) return same;
    known.set(key, node);
    ids.set(node, ids.size);
    return node;
  };
  const start = shared(root);
  const order = [start, ...[...known.values()].filter((node) => node !== start)];
  const place = new Map(order.map((node, i) => [node, i]));
  const alphabet = [...new Set(order.flatMap((node) => [...node.to.keys()]))];
  const letters = alphabet.map((code) => charset([code, code]));
  return mergeAtoms({
    atoms: [...letters, complement(union(...letters))],
    next: order.map((node) => [
      ...alphabet.map((code) => place.get(node.to.get(code) ?? NOWHERE) ?? DEAD),
      DEAD,
    ]),
    accepting: order.map((node) => node.ends),
  });
}
