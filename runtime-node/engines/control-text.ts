/**
 * Keeps control tokens that users spell out (`<|im_end|>` in a message) from becoming control tokens. Before a chat
 * template is rendered, every such spelling in what users wrote is wrapped in two private-use characters; templates
 * only copy, trim and split text, so the wrapping survives them. Afterwards the wrapped parts are plain text, the rest
 * is the template's own. Text without such a spelling is not touched at all.
 */
export interface ControlText {
  /** `value` with the spellings wrapped, in every string of it. */
  wrap<T>(value: T): T;
  /** Rendered text in parts: plain ones must be tokenised without control tokens. */
  parts(rendered: string): readonly TextPart[];
}

export interface TextPart {
  readonly text: string;
  readonly isPlain: boolean;
}

/** One spelling at a time; made once a model. */
export function createControlPattern(spellings: readonly string[]): RegExp | undefined {
  const longestFirst = spellings.filter((text) => text !== "").sort((a, b) => b.length - a.length);
  if (longestFirst.length === 0) return undefined;
  return new RegExp(longestFirst.map(escapePattern).join("|"), "g");
}

/** For one request; `userInput` is all that users wrote, to find two characters that don't occur in it. */
export function createControlText(pattern: RegExp | undefined, userInput: unknown): ControlText {
  const written = JSON.stringify(userInput) ?? "";
  const [open, close] = unusedCharacters(written);
  const wrapped = wrappedPattern(open, close);
  let isWrapped = false;

  function wrapText(text: string): string {
    if (pattern === undefined) return text;
    return text.replace(pattern, (spelling) => {
      isWrapped = true;
      return `${open}${spelling}${close}`;
    });
  }

  function parts(rendered: string): readonly TextPart[] {
    if (!isWrapped) return [{ text: rendered, isPlain: false }];
    // Every second piece is a wrapped spelling, or undefined for half of a pair, which a template split: a cut.
    return rendered
      .split(wrapped)
      .map((text, i) => ({ text: text ?? "", isPlain: i % 2 === 1 }))
      .filter(({ text }) => text !== "");
  }

  return { wrap: (value) => mapStrings(value, wrapText), parts };
}

function unusedCharacters(written: string): readonly [string, string] {
  const unused: string[] = [];
  for (let code = 0xe000; code <= 0xf8ff && unused.length < 2; code++) {
    const character = String.fromCharCode(code);
    if (!written.includes(character)) unused.push(character);
  }
  const [open, close] = unused;
  if (open === undefined || close === undefined) throw new Error("Every private-use character is in use.");
  return [open, close];
}

/** A wrapped text, or half a pair; also as `tojson` writes the two when it is told to keep to ASCII. */
function wrappedPattern(open: string, close: string): RegExp {
  const either = (character: string) => `(?:${character}|\\\\u${character.charCodeAt(0).toString(16)})`;
  const [start, end] = [either(open), either(close)];
  return new RegExp(`${start}((?:(?!${start}|${end})[^])*)${end}|${start}|${end}`);
}

function escapePattern(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
}

function mapStrings<T>(value: T, map: (text: string) => string): T;
function mapStrings(value: unknown, map: (text: string) => string): unknown {
  if (typeof value === "string") return map(value);
  if (Array.isArray(value)) return value.map((item) => mapStrings(item, map));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [map(key), mapStrings(item, map)]));
}
