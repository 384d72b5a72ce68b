import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createStopScanner } from "../../../runtime-node/engines/stop.ts";

/** Everything sent, and the stop string that ended it. */
function scan(pieces: readonly string[], stops: readonly string[]) {
  const scanner = createStopScanner(stops);
  const sent: string[] = [];
  for (const piece of pieces) {
    const { text, stop } = scanner.push(piece);
    sent.push(text);
    if (stop !== undefined) return { sent, stop };
  }
  sent.push(scanner.flush());
  return { sent, stop: undefined };
}

describe("createStopScanner", () => {
  it.each([
    ["no stop strings: nothing is held back", ["ab", "c"], [], ["ab", "c", ""], undefined],
    ["one within a piece", ["hello END more"], ["END"], ["hello "], "END"],
    ["one over three pieces", ["a E", "N", "D b"], ["END"], ["a ", "", ""], "END"],
    ["a head that goes no further is sent", ["a EN", "d"], ["END"], ["a ", "ENd", ""], undefined],
    ["a head at the end is sent by flush", ["a EN"], ["END"], ["a ", "EN"], undefined],
    ["the one that starts first wins", ["xabcdy"], ["cd", "bc"], ["xa"], "bc"],
    ["a head within a head", ["aab"], ["aaab", "ab"], ["a"], "ab"],
    ["an empty one is none", ["a"], [""], ["a", ""], undefined],
    ["characters of two code units", ["a👍", "👎b"], ["👍👎"], ["a", ""], "👍👎"],
  ])("%s", (_, pieces, stops, sent, stop) => {
    expect(scan(pieces, stops)).toEqual({ sent, stop });
  });

  it("sends all before the first stop string and nothing of it, however the text is cut", () => {
    const letters = fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 12 });
    const stops = fc.array(fc.string({ unit: fc.constantFrom("a", "b"), minLength: 1, maxLength: 4 }), {
      minLength: 1,
      maxLength: 3,
    });
    fc.assert(
      fc.property(fc.array(letters), stops, (pieces, stops) => {
        const { sent, stop } = scan(pieces, stops);
        const text = sent.join("");
        const whole = pieces.join("");
        expect(whole.startsWith(text)).toBe(true);
        expect(stops.some((each) => text.includes(each))).toBe(false);
        if (stop === undefined) expect(text).toBe(whole);
        else expect(whole.slice(text.length).startsWith(stop)).toBe(true);
      }),
    );
  });
});
