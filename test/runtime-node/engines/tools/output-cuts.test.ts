import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FORMATS } from "./formats.ts";
import { NAMES, type Options, read, THINK, tagged } from "./read-output.ts";

const { hermes, llama3, mistral, mistralArgs } = FORMATS;

describe("any cut of an output", () => {
  const json = fc
    .dictionary(fc.string({ unit: "grapheme" }), fc.jsonValue())
    .map((value) => JSON.stringify(value));
  const call = fc.tuple(fc.constantFrom(...NAMES), json);
  const prose = fc
    .array(
      fc.constantFrom(
        "<",
        "<tool_call>",
        "</think>",
        "<tool",
        "{",
        "}",
        '"',
        " ",
        "\n",
        "é",
        "🦉",
        "[TOOL_CALLS]",
        "<|python_tag|>",
        '{"name": "',
        "get_time",
        ",",
        "]",
      ),
      { maxLength: 12 },
    )
    .map((parts) => parts.join(""));
  const cuts = fc.array(fc.nat(40), { minLength: 1, maxLength: 20 });
  const formats = fc.constantFrom(hermes, llama3, mistral, mistralArgs);

  it("gives the same answer", () => {
    fc.assert(
      fc.property(
        formats,
        fc.boolean(),
        fc.array(
          fc.oneof(
            prose,
            call.map(([name, args]) => tagged(name, args)),
          ),
        ),
        cuts,
        fc.constantFrom("stop", "length"),
        (format, startsOpen, parts, at, finish) => {
          const output = parts.join("");
          const options: Options = { reasoning: { ...THINK, startsOpen }, finish };
          expect(read(cut(output, at), format, options)).toEqual(read([output], format, options));
        },
      ),
      { numRuns: 400 },
    );
  });

  it("loses nothing of a text without calls", () => {
    fc.assert(
      fc.property(formats, prose, cuts, (format, text, at) => {
        expect(read(cut(text, at), format, { names: new Set(["other"]) }).text).toBe(text);
      }),
      { numRuns: 400 },
    );
  });

  it("gives arguments to the letter, in every format", () => {
    fc.assert(
      fc.property(formats, fc.array(call, { minLength: 1, maxLength: 3 }), cuts, (format, calls, at) => {
        const { begin, beforeName, afterName, afterArguments, between, end } = format.spelling;
        const spelled = calls.map(([name, args]) => beforeName + name + afterName + args + afterArguments);
        const output = begin + spelled.join(between) + end;
        expect(read(cut(output, at), format)).toEqual({ text: "", reasoning: "", calls });
      }),
      { numRuns: 400 },
    );
  });
});

/** Pieces of the given lengths, again and again, never through a character. */
function* cut(text: string, lengths: readonly number[]): Generator<string> {
  const chars = [...text];
  for (let at = 0, i = 0; at < chars.length; i++) {
    const length = Math.max(1, lengths[i % lengths.length] ?? 1);
    yield chars.slice(at, at + length).join("");
    at += length;
  }
}
