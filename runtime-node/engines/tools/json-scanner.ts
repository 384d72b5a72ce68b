/**
 * JSON that arrives in pieces: where a value ends, and the keys of an object, without building anything. It follows
 * brackets and strings only; whether the value is valid JSON is for the client to find, as with OpenAI.
 */

export type Scan =
  /** All of the piece belongs to the value, and more may come. */
  | { readonly state: "more" }
  /** The value ends before `at`. */
  | { readonly state: "done"; readonly at: number }
  /** No JSON value can go on with the character at `at`. */
  | { readonly state: "broken"; readonly at: number };

export interface ValueScanner {
  /** Follows the value on through `text` from `from`. The first character ever fed must be the value's first. */
  feed(text: string, from: number): Scan;
}

const MORE: Scan = { state: "more" };
const BETWEEN_VALUES = /[\s\w:,+.-]/;
const IN_LITERAL = /[\w+.-]/;

export function createValueScanner(): ValueScanner {
  /** Brackets that must still close, innermost last. */
  const open: string[] = [];
  let inString = false;
  let isEscaped = false;
  let isStarted = false;

  /** True once the string's closing quote was read. */
  const inStringEnds = (char: string): boolean => {
    if (isEscaped) isEscaped = false;
    else if (char === "\\") isEscaped = true;
    else if (char === '"') inString = false;
    return !inString;
  };

  /** Outside strings. */
  const read = (char: string): "more" | "done" | "broken" => {
    if (char === '"') inString = true;
    else if (char === "{") open.push("}");
    else if (char === "[") open.push("]");
    else if (char === open.at(-1)) {
      open.pop();
      if (open.length === 0) return "done";
    } else if (!BETWEEN_VALUES.test(char)) return "broken";
    return "more";
  };

  return {
    feed(text, from) {
      for (let at = from; at < text.length; at++) {
        const char = text.charAt(at);
        if (inString) {
          if (inStringEnds(char) && open.length === 0) return { state: "done", at: at + 1 };
          continue;
        }
        // A number, true, false or null has no end of its own.
        if (isStarted && open.length === 0 && !IN_LITERAL.test(char)) return { state: "done", at };
        if (!isStarted && !/["{[\w-]/.test(char)) return { state: "broken", at };
        isStarted = true;
        const step = read(char);
        if (step === "broken") return { state: "broken", at };
        if (step === "done") return { state: "done", at: at + 1 };
      }
      return MORE;
    },
  };
}

/** Where the value that begins at `from` ends in `text`. */
export function scanValue(text: string, from: number): Scan {
  return createValueScanner().feed(text, from);
}

export type Member =
  /** `text` ends too early to tell. */
  | { readonly state: "more" }
  /** No object goes on like this. */
  | { readonly state: "broken" }
  /** The object ends before `at`. */
  | { readonly state: "end"; readonly at: number }
  /** A value begins at `at`. */
  | { readonly state: "key"; readonly key: string; readonly at: number };

/** The next key of an object, read from behind its `{` or behind a value. Says `key` once the value's first character is there. */
export function readMember(text: string, from: number): Member {
  let at = skipSpace(text, from);
  if (text[at] === "}") return { state: "end", at: at + 1 };
  if (text[at] === ",") at = skipSpace(text, at + 1);
  if (at >= text.length) return { state: "more" };
  const key = readString(text, at);
  if (key.state !== "value") return key;
  at = skipSpace(text, key.at);
  if (at >= text.length) return { state: "more" };
  if (text[at] !== ":") return { state: "broken" };
  at = skipSpace(text, at + 1);
  return at >= text.length ? { state: "more" } : { state: "key", key: key.value, at };
}

export type StringScan =
  | { readonly state: "more" }
  | { readonly state: "broken" }
  | { readonly state: "value"; readonly value: string; readonly at: number };

/** The JSON string at `from`, decoded. */
export function readString(text: string, from: number): StringScan {
  if (text[from] !== '"') return { state: "broken" };
  const scan = scanValue(text, from);
  if (scan.state === "more") return { state: "more" };
  if (scan.state === "broken") return { state: "broken" };
  try {
    return { state: "value", value: String(JSON.parse(text.slice(from, scan.at))), at: scan.at };
  } catch {
    return { state: "broken" }; // A raw line break or a bad escape.
  }
}

export function skipSpace(text: string, from: number): number {
  let at = from;
  while (at < text.length && /\s/.test(text.charAt(at))) at++;
  return at;
}
