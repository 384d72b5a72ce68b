import type { CallFormat } from "./call-format.ts";
import type { CallHead } from "./call-head.ts";
import { isArgumentsKey } from "./call-head.ts";
import { createValueScanner, readMember, readString, type ValueScanner } from "./json-scanner.ts";

/** Reads one call after the other, from behind its head to its end. */
export interface CallReader {
  begin(head: CallHead & { readonly state: "named" }): void;
  /** Reads on at the start of `text`. What isn't used must come again, with more behind it. */
  read(text: string): { readonly used: number; readonly isOver: boolean };
  /** No more text comes. Ends a call that the model left open by itself. */
  end(finish: "stop" | "length"): void;
}

type Phase =
  /** Before a key or the end of the object. */
  | "member"
  /** In the arguments, which go out as they come. */
  | "arguments"
  /** At arguments which the model wrote as a text of JSON. */
  | "quoted"
  /** In the value of another key. */
  | "other";

/** `piece` gets the arguments as the model wrote them, in pieces; `{}` where it wrote none. */
export function createCallReader(
  shape: CallFormat["reading"]["shape"],
  piece: (text: string) => void,
): CallReader {
  let phase: Phase = "member";
  let hasArguments = false;
  let scanner: ValueScanner = createValueScanner();

  const giveAll = (raw: string) => {
    hasArguments = true;
    piece(unquoted(raw));
  };
  const enter = (key: string, first: string) => {
    const isFirst = isArgumentsKey(key) && !hasArguments;
    phase = !isFirst ? "other" : first === '"' ? "quoted" : "arguments";
    scanner = createValueScanner();
  };
  const over = (used: number) => {
    if (!hasArguments) giveAll("{}");
    return { used, isOver: true };
  };

  return {
    begin(head) {
      hasArguments = false;
      phase = "member";
      if (head.argumentsText !== undefined) giveAll(head.argumentsText);
      if (shape === "header") enter("arguments", "{");
    },
    read(text) {
      for (let at = 0; ; ) {
        if (phase === "member") {
          const member = readMember(text, at);
          if (member.state === "more") return { used: at, isOver: false };
          if (member.state === "broken") return over(at);
          at = member.at;
          if (member.state === "end") return over(at);
          enter(member.key, text.charAt(at));
        } else if (phase === "quoted") {
          const value = readString(text, at);
          if (value.state === "more") return { used: at, isOver: false };
          if (value.state === "broken") return over(at);
          giveAll(text.slice(at, value.at));
          at = value.at;
          phase = "member";
        } else {
          const scan = scanner.feed(text, at);
          const end = scan.state === "more" ? text.length : scan.at;
          if (phase === "arguments" && end > at) {
            hasArguments = true;
            piece(text.slice(at, end));
          }
          at = end;
          if (scan.state === "more") return { used: at, isOver: false };
          if (scan.state === "broken" || shape === "header") return over(at);
          phase = "member";
        }
      }
    },
    end(finish) {
      if (finish === "stop" && !hasArguments) giveAll("{}");
    },
  };
}

/** Arguments that are a text of a JSON object are that object's text; all else is as written. */
function unquoted(raw: string): string {
  if (!raw.startsWith('"')) return raw;
  try {
    const text: unknown = JSON.parse(raw);
    return typeof text === "string" && text.trimStart().startsWith("{") ? text : raw;
  } catch {
    return raw; // As written: the client sees what the model did.
  }
}
