/** Reads the part of ECMA-262 regular expressions (unicode mode, no flags) that describes a regular language. */
import {
  ANY_CHAR,
  type Charset,
  charset,
  charsOf,
  codePoint,
  complement,
  LAST_CODE_POINT,
  minus,
  union,
} from "./charset.ts";

export type PatternNode =
  | { readonly kind: "set"; readonly set: Charset }
  | { readonly kind: "seq"; readonly items: readonly PatternNode[] }
  | { readonly kind: "alt"; readonly options: readonly PatternNode[] }
  | {
      readonly kind: "repeat";
      readonly item: PatternNode;
      readonly min: number;
      readonly max: number | undefined;
    }
  | { readonly kind: "start" }
  | { readonly kind: "end" }
  | { readonly kind: "look"; readonly negative: boolean; readonly item: PatternNode };

/** A pattern that is no regular expression, or one of a kind no automaton can hold. */
export class PatternError extends Error {
  override readonly name = "PatternError";
}

const DIGIT = charset([0x30, 0x39]);
const WORD = charset([0x30, 0x39], [0x41, 0x5a], [0x5f, 0x5f], [0x61, 0x7a]);
const SPACE = charset(
  [0x09, 0x0d],
  [0x20, 0x20],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
);
const DOT = minus(ANY_CHAR, charset([0x0a, 0x0a], [0x0d, 0x0d], [0x2028, 0x2029]));
const CLASS_ESCAPES: Readonly<Record<string, Charset>> = {
  d: DIGIT,
  D: complement(DIGIT),
  w: WORD,
  W: complement(WORD),
  s: SPACE,
  S: complement(SPACE),
};
const CONTROL_ESCAPES: Readonly<Record<string, number>> = { t: 9, n: 10, v: 11, f: 12, r: 13, "0": 0 };

/** Throws `PatternError`. */
export function parsePattern(source: string): PatternNode {
  const reader = new Reader(source);
  const node = reader.alternatives();
  if (!reader.done) throw new PatternError(`unmatched \`)\` at ${reader.offset}`);
  return node;
}

class Reader {
  readonly #chars: readonly string[];
  #at = 0;

  constructor(source: string) {
    this.#chars = [...source];
  }

  get done(): boolean {
    return this.#at >= this.#chars.length;
  }

  get offset(): number {
    return this.#at;
  }

  alternatives(): PatternNode {
    const options = [this.#sequence()];
    while (this.#take("|")) options.push(this.#sequence());
    const [only] = options;
    return options.length === 1 && only !== undefined ? only : { kind: "alt", options };
  }

  #sequence(): PatternNode {
    const items: PatternNode[] = [];
    while (!this.done && !this.#sees("|") && !this.#sees(")")) items.push(this.#quantified());
    return { kind: "seq", items };
  }

  #quantified(): PatternNode {
    const item = this.#atom();
    const bounds = this.#quantifier();
    if (bounds === undefined) return item;
    if (item.kind === "start" || item.kind === "end" || item.kind === "look") {
      throw new PatternError("an assertion is repeated");
    }
    this.#take("?");
    return { kind: "repeat", item, min: bounds[0], max: bounds[1] };
  }

  #quantifier(): readonly [number, number | undefined] | undefined {
    if (this.#take("*")) return [0, undefined];
    if (this.#take("+")) return [1, undefined];
    if (this.#take("?")) return [0, 1];
    const braces = /^\{(\d+)(,?)(\d*)\}/.exec(this.#chars.slice(this.#at, this.#at + 24).join(""));
    if (braces === null) return undefined;
    this.#at += braces[0].length;
    const min = Number(braces[1]);
    const max = braces[2] === "" ? min : braces[3] === "" ? undefined : Number(braces[3]);
    if (max !== undefined && max < min) throw new PatternError(`\`${braces[0]}\` counts down`);
    return [min, max];
  }

  #atom(): PatternNode {
    const char = this.#next();
    switch (char) {
      case "^":
        return { kind: "start" };
      case "$":
        return { kind: "end" };
      case ".":
        return { kind: "set", set: DOT };
      case "(":
        return this.#group();
      case "[":
        return { kind: "set", set: this.#class() };
      case "\\":
        return { kind: "set", set: this.#escape() };
      case "*":
      case "+":
      case "?":
        throw new PatternError(`nothing to repeat before \`${char}\``);
      default:
        return { kind: "set", set: charsOf(char) };
    }
  }

  #group(): PatternNode {
    const look = this.#take("?=") ? "yes" : this.#take("?!") ? "no" : undefined;
    if (look === undefined && !this.#take("?:") && this.#sees("?")) {
      const name = /^\?<[\p{L}_$][\p{L}\p{N}_$]*>/u.exec(this.#chars.slice(this.#at, this.#at + 80).join(""));
      if (name === null) throw new PatternError("lookbehind and inline flags are not supported");
      this.#at += [...name[0]].length;
    }
    const item = this.alternatives();
    if (!this.#take(")")) throw new PatternError("a group is not closed");
    return look === undefined ? item : { kind: "look", negative: look === "no", item };
  }

  #class(): Charset {
    const negated = this.#take("^");
    const parts: Charset[] = [];
    while (!this.#take("]")) {
      const low = this.#classAtom();
      if (this.#sees("-") && !this.#sees("-]")) {
        this.#next();
        const high = this.#classAtom();
        const [from, fromEnd] = low;
        const [to, toEnd] = high;
        if (from === undefined || to === undefined || from !== fromEnd || to !== toEnd) {
          parts.push(low, high, charsOf("-"));
        } else if (to < from) throw new PatternError("a character range is out of order");
        else parts.push(charset([from, to]));
      } else parts.push(low);
    }
    const set = union(...parts);
    return negated ? complement(set) : set;
  }

  #classAtom(): Charset {
    const char = this.#next();
    if (char !== "\\") return charsOf(char);
    if (this.#take("b")) return charset([8, 8]);
    return this.#escape();
  }

  #escape(): Charset {
    const char = this.#next();
    const named = CLASS_ESCAPES[char];
    if (named !== undefined) return named;
    if (char === "p" || char === "P") return this.#property(char);
    const control = CONTROL_ESCAPES[char];
    if (control !== undefined && !(char === "0" && /\d/.test(this.#peek())))
      return charset([control, control]);
    if (char === "x") return single(this.#hex(2));
    if (char === "u") return single(this.#unicode());
    if (char === "c" && /[A-Za-z]/.test(this.#peek())) return single(codePoint(this.#next()) % 32);
    if (/[1-9]/.test(char) || char === "k") throw new PatternError("back-references are not supported");
    if (char === "b" || char === "B") throw new PatternError("word boundaries are not supported");
    if (/[A-Za-z0-9]/.test(char)) throw new PatternError(`unknown escape \`\\${char}\``);
    return charsOf(char);
  }

  #unicode(): number {
    if (this.#take("{")) {
      let digits = "";
      while (!this.#take("}")) digits += this.#next();
      const code = Number.parseInt(digits, 16);
      if (!/^[0-9a-fA-F]+$/.test(digits) || code > LAST_CODE_POINT)
        throw new PatternError("a bad \\u escape");
      return code;
    }
    const first = this.#hex(4);
    if (first < 0xd800 || first > 0xdbff || !this.#take("\\u")) return first;
    const second = this.#hex(4);
    if (second < 0xdc00 || second > 0xdfff) throw new PatternError("an unpaired surrogate");
    return 0x10000 + (first - 0xd800) * 0x400 + (second - 0xdc00);
  }

  #hex(length: number): number {
    const digits = this.#chars.slice(this.#at, this.#at + length).join("");
    if (digits.length !== length || !/^[0-9a-fA-F]+$/.test(digits))
      throw new PatternError("a bad hex escape");
    this.#at += length;
    return Number.parseInt(digits, 16);
  }

  /** `\p{…}` as the host's own Unicode tables have it. */
  #property(kind: "p" | "P"): Charset {
    const body = /^\{[A-Za-z0-9_=]+\}/.exec(this.#chars.slice(this.#at, this.#at + 60).join(""));
    if (body === null) throw new PatternError("a bad \\p escape");
    this.#at += body[0].length;
    const set = propertySet(body[0]);
    return kind === "p" ? set : complement(set);
  }

  #next(): string {
    const char = this.#chars[this.#at];
    if (char === undefined) throw new PatternError("the pattern ends too early");
    this.#at++;
    return char;
  }

  #peek(): string {
    return this.#chars[this.#at] ?? "";
  }

  #sees(text: string): boolean {
    return [...text].every((char, i) => this.#chars[this.#at + i] === char);
  }

  #take(text: string): boolean {
    if (!this.#sees(text)) return false;
    this.#at += text.length;
    return true;
  }
}

function single(code: number): Charset {
  return charset([code, code]);
}

const PROPERTY_SETS = new Map<string, Charset>();

function propertySet(body: string): Charset {
  const known = PROPERTY_SETS.get(body);
  if (known !== undefined) return known;
  let test: RegExp;
  try {
    test = new RegExp(`^\\p${body}$`, "u");
  } catch (cause) {
    throw new PatternError(`unknown property \`\\p${body}\``, { cause });
  }
  const ranges: [number, number][] = [];
  for (let code = 0; code <= LAST_CODE_POINT; code++) {
    if (!test.test(String.fromCodePoint(code))) continue;
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === code - 1) last[1] = code;
    else ranges.push([code, code]);
  }
  const set = charset(...ranges);
  PROPERTY_SETS.set(body, set);
  return set;
}
