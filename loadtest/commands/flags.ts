import { InvalidArgumentError } from "commander";

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, min: 60_000, h: 3_600_000 };

/** `90s`, `1.5m`, `500ms`: a flag's parser. */
export function durationMs(text: string): number {
  const [, digits, unit = ""] = /^(\d+(?:\.\d+)?)(ms|s|m|min|h)$/.exec(text.trim()) ?? [];
  const factor = UNITS_MS[unit];
  if (factor === undefined || Number(digits) === 0)
    throw new InvalidArgumentError(`${JSON.stringify(text)} is no duration; write 500ms, 90s or 5m.`);
  return Number(digits) * factor;
}

/** A parser of whole numbers from `least` to `most`. */
export function integer(least: number, most: number = Number.MAX_SAFE_INTEGER): (text: string) => number {
  const range = most === Number.MAX_SAFE_INTEGER ? `${least} or more` : `${least} to ${most}`;
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= least && value <= most) return value;
    throw new InvalidArgumentError(`${JSON.stringify(text)} is not allowed; a whole number, ${range}.`);
  };
}

/** A duration that may be none: `0`, `20ms`. */
export function delayMs(text: string): number {
  return text.trim() === "0" ? 0 : durationMs(text);
}

/** A number above 0, such as a rate. */
export function positive(text: string): number {
  const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (value > 0) return value;
  throw new InvalidArgumentError(`${JSON.stringify(text)} is not allowed; a number above 0.`);
}
