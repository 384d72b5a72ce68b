import type { EngineLog, EngineLogLine as LogLine } from "../../shared/engine.ts";

/** What a child process printed: the last lines, kept in memory, and whoever listens for the next ones. */

export interface ProcessLog extends EngineLog {
  /** Takes output as it comes, in pieces. */
  write(piece: string): void;
  /** Takes a line of our own: a start, a stop, a kill. */
  note(text: string): void;
  /** Ends the line that is still open. */
  flush(): void;
}

export interface ProcessLogOptions {
  readonly maxLines?: number;
  /** A longer line is cut: progress bars and dumped requests must not fill memory. */
  readonly maxChars?: number;
  /** Texts that never appear: keys given to the child. */
  readonly secrets?: readonly string[];
  readonly now?: () => number;
}

const CUT = " …";

export function createProcessLog(options: ProcessLogOptions = {}): ProcessLog {
  const { maxLines = 500, maxChars = 2000, secrets = [], now = Date.now } = options;
  const kept: LogLine[] = [];
  const listeners = new Set<(line: LogLine) => void>();
  let open = "";
  let isCut = false;
  let count = 0;

  function end(): void {
    const text = shown(open) + (isCut ? CUT : "");
    open = "";
    isCut = false;
    if (text.trim() !== "") keep(text);
  }

  function keep(text: string): void {
    count++;
    const line = { number: count, time: new Date(now()).toISOString(), text };
    kept.push(line);
    if (kept.length > maxLines) kept.shift();
    for (const listener of listeners) listener(line);
  }

  function shown(text: string): string {
    return secrets.reduce((clean, secret) => clean.replaceAll(secret, "[key]"), withoutColours(text));
  }

  return {
    write(piece) {
      // A progress bar redraws its line with CR alone: each drawing is a line.
      const parts = piece.split(/\r\n|\n|\r/);
      for (const [index, part] of parts.entries()) {
        if (index > 0) end();
        const room = maxChars - open.length;
        if (part.length > room) isCut = true;
        open += part.slice(0, Math.max(0, room));
      }
    },
    note: (text) => keep(shown(text)),
    flush: end,
    lines: (last = maxLines) => kept.slice(-last),
    subscribe(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}

/** Without the escape sequences that colour a terminal. */
function withoutColours(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: ESC is what such a sequence begins with
  return text.replaceAll(/\u001b\[[\d;?]*[ -/]*[@-~]/g, "");
}
