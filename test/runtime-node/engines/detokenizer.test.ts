import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createDetokenizer } from "../../../runtime-node/engines/detokenizer.ts";

/** A vocabulary whose tokens are pieces of UTF-8, as byte-level BPE has them. */
function detokenize(tokens: readonly Uint8Array[]): string {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(Buffer.concat(tokens));
}

function pieces(tokens: readonly Uint8Array[]): readonly string[] {
  const detokenizer = createDetokenizer(detokenize, []);
  return [...tokens.map((token) => detokenizer.push(token)), detokenizer.flush()];
}

const bytes = (...values: number[]) => Uint8Array.from(values);

describe("createDetokenizer", () => {
  it("holds a character back until its last byte is there", () => {
    const emoji = [...new TextEncoder().encode("👍")].map((byte) => bytes(byte));
    expect(pieces(emoji)).toEqual(["", "", "", "👍", ""]);
  });

  it("sends the whole characters of a token that ends in half a one", () => {
    const [first, second] = [Buffer.from("aé").subarray(0, 2), Buffer.from("é").subarray(1)];
    expect(pieces([first, second])).toEqual(["a", "é", ""]);
  });

  it("sends what never became a character as U+FFFD, at the end", () => {
    expect(pieces([bytes(97), bytes(0xf0, 0x9f)])).toEqual(["a", "", "\uFFFD"]);
  });

  it("does not hold back for ever what is no UTF-8", () => {
    const broken = Array.from({ length: 200 }, () => bytes(0xff));
    const sent = pieces(broken);
    expect(sent.join("")).toBe("\uFFFD".repeat(200));
    expect(sent[100]).not.toBe("");
  });

  it("asks for text with the tokens before the pending ones", () => {
    const asked: [readonly string[], readonly string[]][] = [];
    const detokenizer = createDetokenizer(
      (tokens: readonly string[], before: readonly string[]) => {
        asked.push([[...tokens], [...before]]);
        return tokens.join("");
      },
      ["p", "q"],
    );
    detokenizer.push("a");
    detokenizer.push("b");
    expect(asked).toEqual([
      [["a"], ["p", "q"]],
      [["b"], ["p", "q", "a"]],
    ]);
  });

  it("gives the same text however its bytes are cut, and never half a character", () => {
    const cut = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1 });
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), cut, (text, sizes) => {
        const all = new TextEncoder().encode(text);
        const tokens: Uint8Array[] = [];
        for (let at = 0, i = 0; at < all.length; i++) {
          const size = sizes[i % sizes.length] ?? 1;
          tokens.push(all.subarray(at, at + size));
          at += size;
        }
        const sent = pieces(tokens);
        expect(sent.join("")).toBe(new TextDecoder("utf-8", { ignoreBOM: true }).decode(all));
        for (const piece of sent) expect(piece.isWellFormed()).toBe(true);
      }),
    );
  });
});
