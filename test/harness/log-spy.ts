import { inspect } from "node:util";
import type { Log, LogFields } from "../../functions/deps.ts";

export interface LogSpy extends Log {
  /** Everything that was logged so far, all levels. */
  text(): string;
  /** Resolves once something that matches is logged from now on. */
  logged(pattern: RegExp): Promise<void>;
}

export function createLogSpy(): LogSpy {
  const lines: string[] = [];
  const waiting = new Set<(line: string) => void>();
  const write = (message: string, fields?: LogFields): void => {
    const line = fields === undefined ? message : `${message} ${inspect(fields, { depth: null })}`;
    lines.push(line);
    for (const look of waiting) look(line);
  };
  return {
    debug: write,
    info: write,
    warn: write,
    error: write,
    text: () => lines.join("\n"),
    logged: (pattern) =>
      new Promise((resolve) => {
        const look = (line: string): void => {
          if (!pattern.test(line)) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
      }),
  };
}
