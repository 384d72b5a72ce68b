import { ARGUMENTS_MARK, type CallFormat } from "./call-format.ts";
import { readMember, readString, scanValue, skipSpace } from "./json-scanner.ts";

/** The beginning of a call, up to where its name is known. */
export type CallHead =
  /** It may become a call. */
  | { readonly state: "more" }
  /** It isn't one, however it goes on. */
  | { readonly state: "broken" }
  | {
      readonly state: "named";
      readonly name: string;
      /** Reading goes on here: behind the name's value, or at the arguments of a header. */
      readonly at: number;
      /** Arguments that stood before the name. */
      readonly argumentsText: string | undefined;
      /** The call is the first of a JSON list. */
      readonly isInList: boolean;
    };

const MORE: CallHead = { state: "more" };
const BROKEN: CallHead = { state: "broken" };
/** Keys that may stand before the name. Others mean that the object is no call, so that its text needn't wait. */
const EARLY_KEYS: ReadonlySet<string> = new Set(["type", "id"]);

/** Keys of the arguments: templates name one, models mix them up. */
export function isArgumentsKey(key: string): boolean {
  return key === "arguments" || key === "parameters";
}

/**
 * Reads a head that begins at `from`, behind the opener. The longer the text, the more is known: what was `broken`
 * or `named` stays so.
 */
export function readCallHead(text: string, from: number, shape: CallFormat["reading"]["shape"]): CallHead {
  const at = skipSpace(text, from);
  if (at >= text.length) return MORE;
  return shape === "header" ? readHeader(text, at) : readObjectHead(text, at);
}

function readObjectHead(text: string, from: number): CallHead {
  // Mistral's list of calls, and the lists other models write by themselves.
  const isInList = text[from] === "[";
  const start = isInList ? skipSpace(text, from + 1) : from;
  if (start >= text.length) return MORE;
  if (text[start] !== "{") return BROKEN;
  let argumentsText: string | undefined;
  for (let at = start + 1; ; ) {
    const member = readMember(text, at);
    if (member.state !== "key") return member.state === "more" ? MORE : BROKEN;
    if (member.key === "name") {
      const name = readString(text, member.at);
      if (name.state !== "value") return name.state === "more" ? MORE : BROKEN;
      return { state: "named", name: name.value, at: name.at, argumentsText, isInList };
    }
    if (!isArgumentsKey(member.key) && !EARLY_KEYS.has(member.key)) return BROKEN;
    const value = scanValue(text, member.at);
    if (value.state !== "done") return value.state === "more" ? MORE : BROKEN;
    if (isArgumentsKey(member.key)) argumentsText = text.slice(member.at, value.at);
    at = value.at;
  }
}

/** `name[ARGS]{`, `name[CALL_ID]a1b2c3d4e[ARGS]{`, and `name{` as v11 tokenizers print it. */
function readHeader(text: string, from: number): CallHead {
  const head = /^([\w.-]+)\s*(?:\[CALL_ID\]\w*)?(?:\[ARGS\])?\s*(?=\{)/.exec(text.slice(from));
  if (head !== null) {
    const [all, name = ""] = head;
    return { state: "named", name, at: from + all.length, argumentsText: undefined, isInList: false };
  }
  return mayBecomeHeader(text.slice(from)) ? MORE : BROKEN;
}

function mayBecomeHeader(text: string): boolean {
  const rest = /^[\w.-]+\s*(.*)$/s.exec(text)?.[1];
  if (rest === undefined) return false;
  const marks = ["[CALL_ID]", ARGUMENTS_MARK];
  if (marks.some((mark) => mark.startsWith(rest))) return true;
  const behind = /^(?:\[CALL_ID\]\w*)?(.*)$/s.exec(rest)?.[1] ?? rest;
  return ARGUMENTS_MARK.startsWith(behind) || /^\[ARGS\]\s*$/.test(behind);
}
