import type { CallFormat } from "./call-format.ts";
import { readCallHead } from "./call-head.ts";
import { createCallId } from "./call-id.ts";
import { createCallReader } from "./call-reader.ts";
import type { Reasoning } from "./reasoning.ts";

export type OutputEvent =
  /** Content beside the calls, whole and in order. */
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "reasoning"; readonly text: string }
  /** A call begins; `index` counts from 0. */
  | { readonly type: "toolCall"; readonly index: number; readonly id: string; readonly name: string }
  /** The next piece of the arguments of call `index`, as the model wrote it. */
  | { readonly type: "toolArguments"; readonly index: number; readonly text: string };

export interface OutputParserOptions {
  readonly format: CallFormat;
  /** Tools that may be called; text that looks like a call of another is content. None: nothing is a call. */
  readonly names: ReadonlySet<string>;
  readonly reasoning?: Reasoning | undefined;
  /** At most this many calls; what follows the last is dropped, and `isDone` says so. */
  readonly maxCalls?: number;
  /** A grammar holds the answer to calls, so half a call is never content. */
  readonly isForced?: boolean;
  readonly newId?: () => string;
}

export interface OutputParser {
  /** The events that `text` completes. Any cut of the same answer gives the same events, but for how texts are cut. */
  push(text: string): readonly OutputEvent[];
  /** What was held back, once the model is done. At `length`, a call that was cut before its name is dropped. */
  end(finish: "stop" | "length"): readonly OutputEvent[];
  /** True when `maxCalls` calls are complete: generation can stop. */
  isDone(): boolean;
  /** True while what comes next is reasoning. */
  isReasoning(): boolean;
}

/** Where the parser stands; the buffer begins there. */
type State =
  /** Before anything but whitespace. */
  | "start"
  | "reasoning"
  /** Behind reasoning, before anything but whitespace. */
  | "answer"
  | "content"
  /** At whitespace, an opener (or none, before a bare object) and the head of a call. */
  | "head"
  | "call"
  /** Behind a call. */
  | "after"
  | "done";

/**
 * Separates a model's output into reasoning, content and calls while it streams. Content goes out at once but for
 * what may begin a call: the start of an opener, and whitespace before it. A call goes out as soon as its name is
 * known; until then its text is held back, and comes out as content when it turns out to be none.
 *
 * @example
 * const parser = createOutputParser({ format, names: new Set(["get_weather"]) });
 * for await (const text of texts) for (const event of parser.push(text)) write(event);
 * for (const event of parser.end("stop")) write(event);
 */
export function createOutputParser(options: OutputParserOptions): OutputParser {
  const { format, names, reasoning, maxCalls = Number.POSITIVE_INFINITY, isForced = false } = options;
  const { opener, closer, isBareAtStart, shape } = format.reading;
  const newId = options.newId ?? (() => createCallId(format.callIds));
  const hasCalls = names.size > 0;
  let state: State = reasoning === undefined ? "answer" : reasoning.startsOpen ? "reasoning" : "start";
  let buffer = "";
  /** Of the buffer in state `head`: whitespace, or what separates calls, then the opener. */
  let headStart = 0;
  let calls = 0;
  let isInList = false;
  let hasReasoning = false;
  let isBehindReasoning = false;
  let events: OutputEvent[] = [];

  const emit = (event: OutputEvent) => {
    const last = events.at(-1);
    const isSameText = last?.type === event.type && (event.type === "text" || event.type === "reasoning");
    if (isSameText && "text" in last) events[events.length - 1] = { ...event, text: last.text + event.text };
    else events.push(event);
  };
  const emitText = (length: number) => {
    if (length > 0) emit({ type: "text", text: buffer.slice(0, length) });
    buffer = buffer.slice(length);
  };
  const reader = createCallReader(shape, (text) => emit({ type: "toolArguments", index: calls - 1, text }));
  const become = (next: State): true => {
    state = next;
    return true;
  };

  /** One step on from the state; false when it takes more text. */
  const step = (): boolean => {
    switch (state) {
      case "start":
        return readStart();
      case "reasoning":
        return readReasoning();
      case "answer":
        return readAnswer();
      case "content":
        return readContent();
      case "head":
        return readHead();
      case "call":
        return readCall();
      case "after":
        return readAfter();
      case "done":
        buffer = "";
        return false;
      default:
        return state satisfies never;
    }
  };

  const readStart = (): boolean => {
    const open = reasoning?.open ?? "";
    const text = buffer.trimStart();
    if (text.startsWith(open)) {
      buffer = text.slice(open.length);
      return become("reasoning");
    }
    return open.startsWith(text) ? false : become("answer");
  };

  const readReasoning = (): boolean => {
    if (!hasReasoning) buffer = buffer.trimStart();
    const close = reasoning?.close ?? "";
    const end = buffer.indexOf(close);
    const text = buffer.slice(0, end < 0 ? heldFrom(buffer, close) : end);
    const length = text.trimEnd().length;
    if (length > 0) {
      hasReasoning = true;
      emit({ type: "reasoning", text: text.slice(0, length) });
    }
    if (end < 0) {
      buffer = buffer.slice(length);
      return false;
    }
    buffer = buffer.slice(end + close.length);
    isBehindReasoning = true;
    return become("answer");
  };

  const readAnswer = (): boolean => {
    if (isBehindReasoning) buffer = buffer.trimStart();
    const space = buffer.length - buffer.trimStart().length;
    if (space === buffer.length) return false;
    if (!isBareAtStart || !hasCalls || buffer[space] !== "{") return become("content");
    headStart = space;
    return become("head");
  };

  const readContent = (): boolean => {
    const found = hasCalls ? buffer.indexOf(opener) : -1;
    const end = found >= 0 ? found : hasCalls ? heldFrom(buffer, opener) : buffer.length;
    const length = hasCalls ? buffer.slice(0, end).trimEnd().length : end;
    emitText(length);
    if (found < 0) return false;
    headStart = found - length;
    return become("head");
  };

  const readHead = (): boolean => {
    const from = headStart + (buffer.startsWith(opener, headStart) ? opener.length : 0);
    const head = readCallHead(buffer, from, shape);
    if (head.state === "more") return false;
    if (head.state === "broken" || !names.has(head.name)) return refuseHead();
    emit({ type: "toolCall", index: calls, id: newId(), name: head.name });
    calls++;
    isInList ||= head.isInList;
    buffer = buffer.slice(head.at);
    reader.begin(head);
    return become("call");
  };

  /** The opener is content; behind it another may stand. */
  const refuseHead = (): true => {
    emitText(headStart + (buffer.startsWith(opener, headStart) ? opener.length : 1));
    return become("content");
  };

  const readCall = (): boolean => {
    const { used, isOver } = reader.read(buffer);
    buffer = buffer.slice(used);
    return isOver && become(calls >= maxCalls ? "done" : "after");
  };

  const readAfter = (): boolean => {
    buffer = buffer.trimStart();
    if (isInList && buffer.startsWith("]")) {
      isInList = false;
      buffer = buffer.slice(1);
      return true;
    }
    if (closer !== "" && buffer.startsWith(closer)) {
      buffer = buffer.slice(closer.length);
      return true;
    }
    if (closer.startsWith(buffer)) return false;
    const next = /^[,;]?\s*/.exec(buffer)?.[0].length ?? 0;
    if (shape === "header" || (next < buffer.length && buffer[next] !== "{")) return become("content");
    headStart = next;
    return next < buffer.length && become("head");
  };

  /** All text is there: whatever is still held back is decided. */
  const finish = (reason: "stop" | "length"): void => {
    while (state === "head" && !isForced && !(reason === "length" && buffer.startsWith(opener, headStart))) {
      refuseHead();
      while (step());
    }
    if (state === "reasoning") {
      const text = buffer.trimEnd();
      if (text !== "") emit({ type: "reasoning", text });
    } else if (state === "call") reader.end(reason);
    else if (state === "after") emitText(closer.startsWith(buffer) ? 0 : buffer.length);
    else if (state === "start" || state === "content") emitText(isForced ? 0 : buffer.length);
    else if (state === "answer") emitText(isForced || isBehindReasoning ? 0 : buffer.length);
    buffer = "";
    state = "done";
  };

  const takeEvents = (): readonly OutputEvent[] => {
    const taken = events;
    events = [];
    return taken;
  };

  return {
    push(text) {
      buffer += text;
      while (step());
      return takeEvents();
    },
    end(reason) {
      finish(reason);
      return takeEvents();
    },
    isDone: () => state === "done",
    isReasoning: () => state === "reasoning",
  };
}

/** Where the longest end of `text` begins that may become `mark`; its length when there is none. */
function heldFrom(text: string, mark: string): number {
  for (let at = Math.max(0, text.length - mark.length + 1); at < text.length; at++) {
    if (mark.startsWith(text.slice(at))) return at;
  }
  return text.length;
}
