import type { Log, LogFields } from "./deps.ts";

const LEVELS = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof LEVELS)[number];

/** One JSON object a line: time (UTC), level, message, fields. */
export function createLog(level: LogLevel, write: (line: string) => void): Log {
  const least = LEVELS.indexOf(level);
  const at = (each: LogLevel) => (message: string, fields?: LogFields) => {
    if (LEVELS.indexOf(each) < least) return;
    write(JSON.stringify({ time: new Date().toISOString(), level: each, message, ...fields }));
  };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}
