import type { z } from "zod";
import {
  describeAllowed,
  formatPath,
  HIDDEN,
  isSecret,
  type Keys,
  schemaAt,
  valueAt,
} from "./config-paths.ts";

export interface ConfigProblem {
  /** `backends[0].url`, or the name of a variable. */
  readonly path: string;
  readonly keys: Keys;
  /** The value as shown; hidden where it may be a secret. */
  readonly found: string;
  /** What was found, what is allowed and what to do, in one line. */
  readonly message: string;
  /** The variable that a reference needs, where its absence is the problem. */
  readonly variable?: string;
}

/** What a problem calls a value: the variable or flag that set it, or the text with `${NAME}` in it. */
export interface Origin {
  readonly setBy?: string;
  readonly template?: string;
  /** A `${NAME}` in it is not set, so there is nothing to check yet. */
  readonly isUnset?: boolean;
}

/** The configuration can't be used. The message lists every problem, one a line; a start ends with exit code 2. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly ConfigProblem[];

  /** `file` is named in the message; `locate` says where in it a value is, such as `12:5`. */
  constructor(
    problems: readonly ConfigProblem[],
    options: { file?: string; locate?: (keys: Keys) => string | undefined; cause?: unknown } = {},
  ) {
    const { file, locate, cause } = options;
    const lines = problems.map((problem) => {
      const place = locate?.(problem.keys);
      return `  ${place === undefined ? "" : `${place}: `}${problem.message}`;
    });
    const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
    const where = file === undefined ? "" : ` (${file})`;
    super(`The configuration${where} has ${count}:\n${lines.join("\n")}`, { cause });
    this.problems = problems;
  }
}

/** zod's issues in our words, one a value or unknown key. What a missing variable caused is left out. */
export function problemsOf(
  issues: readonly z.core.$ZodIssue[],
  value: unknown,
  origins: ReadonlyMap<string, Origin>,
): readonly ConfigProblem[] {
  return issues
    .flatMap((issue) => flatten(issue, []))
    .flatMap(({ issue, keys }) => {
      if (originOf(keys, origins).isUnset) return [];
      if (issue.code === "unrecognized_keys") {
        return issue.keys.map((key) => unknownKey([...keys, key], value, origins));
      }
      return [wrongValue(issue, keys, value, origins)];
    });
}

/** The option that `word` is most likely a slip of, or undefined when none is close. */
export function nearest(word: string, options: readonly string[]): string | undefined {
  // Two swapped letters are two edits; of a very short word nothing would be left.
  const limit = Math.min(word.length - 1, Math.max(2, Math.floor(word.length / 4)));
  const ranked = options
    .map((option) => ({ option, edits: editDistance(word.toLowerCase(), option.toLowerCase()) }))
    .filter(({ edits }) => edits <= limit)
    .sort((a, b) => a.edits - b.edits);
  return ranked[0]?.option;
}

interface Placed {
  readonly issue: z.core.$ZodIssue;
  readonly keys: Keys;
}

/** A union's issues are those of the one branch whose type fits; where none fits, the union's own. */
function flatten(issue: z.core.$ZodIssue, parent: Keys): readonly Placed[] {
  const keys = [...parent, ...issue.path];
  if (issue.code !== "invalid_union") return [{ issue, keys }];
  const fitting = issue.errors.filter((branch) =>
    branch.some((inner) => inner.path.length > 0 || inner.code === "unrecognized_keys"),
  );
  const [branch] = fitting;
  if (fitting.length !== 1 || branch === undefined) return [{ issue, keys }];
  return branch.flatMap((inner) => flatten(inner, keys));
}

/** Where the value at `keys`, or the list or mapping around it, comes from. */
function originOf(keys: Keys, origins: ReadonlyMap<string, Origin>): Origin {
  const paths = keys.map((_, index) => formatPath(keys.slice(0, index + 1)));
  return origins.get(paths.findLast((path) => origins.has(path)) ?? "") ?? {};
}

function unknownKey(keys: Keys, value: unknown, origins: ReadonlyMap<string, Origin>): ConfigProblem {
  const path = formatPath(keys);
  const allowed = Object.keys(mappingSchema(keys.slice(0, -1))?.properties ?? {});
  const guess = nearest(String(keys.at(-1)), allowed);
  const hint = guess === undefined ? "" : `did you mean ${guess}? `;
  const found = show(keys, valueAt(value, keys), origins);
  return {
    path,
    keys,
    found,
    message: `\`${path}\` (${found}) is not a setting; ${hint}allowed: ${allowed.join(", ")}`,
  };
}

function mappingSchema(keys: Keys) {
  const node = schemaAt(keys);
  return node?.anyOf?.find((branch) => branch.properties !== undefined) ?? node;
}

function wrongValue(
  issue: z.core.$ZodIssue,
  keys: Keys,
  value: unknown,
  origins: ReadonlyMap<string, Origin>,
): ConfigProblem {
  const path = formatPath(keys);
  const { setBy } = originOf(keys, origins);
  const actual = valueAt(value, keys);
  const found = show(keys, actual, origins);
  const subject = path === "" ? "The configuration" : `\`${path}\``;
  const source = setBy === undefined ? "" : ` (set by ${setBy})`;
  const description = actual === undefined ? schemaAt(keys)?.description : undefined;
  const message =
    description === undefined
      ? `${subject} is ${found}${source}; allowed: ${allowedFor(issue, keys)}`
      : `${subject} is missing; needed: ${description}`;
  // What a variable set has no place in the file.
  return { path, keys: setBy === undefined ? keys : [], found, message };
}

function allowedFor(issue: z.core.$ZodIssue, keys: Keys): string {
  if (issue.code === "custom" || issue.code === "invalid_format") return issue.message;
  if (issue.code === "invalid_key") return issue.issues[0]?.message ?? issue.message;
  const node = schemaAt(keys);
  return node === undefined ? issue.message : describeAllowed(node);
}

/** A value as a problem shows it: short, without secrets, and with its references as they were written. */
function show(keys: Keys, value: unknown, origins: ReadonlyMap<string, Origin>): string {
  if (value === undefined) return "missing";
  if (isSecret(keys)) return HIDDEN;
  const path = formatPath(keys);
  const { template } = origins.get(path) ?? {};
  if (template !== undefined) return template;
  const hasReference = [...origins].some(([other, origin]) => origin.template && other.startsWith(path));
  if (typeof value === "object" && hasReference) return HIDDEN;
  const text = JSON.stringify(value, (key, inner: unknown) => (isSecret([...keys, key]) ? HIDDEN : inner));
  const masked = text.replace(/:\/\/[^/@"]*@/g, "://***@");
  return masked.length > 80 ? `${masked.slice(0, 79)}…` : masked;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substituted = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substituted, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
