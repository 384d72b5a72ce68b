import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { compileJsonSchema } from "../../../../runtime-node/engines/grammar/json-schema.ts";
import { acceptsDocument } from "./document-search.ts";
import { createMatcher } from "./gbnf-matcher.ts";

/** One line of the sample: a schema from the wild with documents known to be valid or not. */
export interface RealSchema {
  readonly id: string;
  readonly schema: unknown;
  readonly tests: readonly { readonly valid: boolean; readonly data: unknown }[];
}

export interface FamilyScore {
  readonly family: string;
  schemas: number;
  compiled: number;
  valid: number;
  validAccepted: number;
  invalid: number;
  invalidRejected: number;
}

export interface Miss {
  readonly id: string;
  readonly kind: "refused" | "valid rejected" | "invalid accepted";
  /** The refused keyword and path, or the keywords of the schema that was misjudged. */
  readonly keyword: string;
}

/** The sample lies beside the repository and is never copied into it; undefined where it is absent. */
export function readRealSchemas(path = samplePath()): readonly RealSchema[] | undefined {
  if (!existsSync(path)) return undefined;
  const lines = readFileSync(path, "utf8").trim().split("\n");
  return lines.map((line): RealSchema => JSON.parse(line));
}

export function samplePath(): string {
  return (
    process.env["JSONSCHEMAS"] ??
    resolve(import.meta.dirname, "../../../../../shared/jsonschemas/sample.jsonl")
  );
}

/** Judged on the grammar itself: compact and with single spaces must agree. */
export function scoreFamilies(schemas: readonly RealSchema[]): { scores: FamilyScore[]; misses: Miss[] } {
  const scores = new Map<string, FamilyScore>();
  const misses: Miss[] = [];
  for (const { id, schema, tests } of schemas) {
    const [family = ""] = id.split("/");
    const score = scores.get(family) ?? emptyScore(family);
    scores.set(family, score);
    score.schemas++;
    const compiled = compileJsonSchema(schema);
    if (!compiled.ok) {
      misses.push({ id, kind: "refused", keyword: `${compiled.keyword} at #${compiled.path}` });
      continue;
    }
    score.compiled++;
    const matcher = createMatcher(compiled.grammar);
    for (const { valid, data } of tests) {
      const accepted = acceptsDocument(matcher, data) || acceptsDocument(matcher, data, " ");
      if (valid) {
        score.valid++;
        if (accepted && acceptsDocument(matcher, data, " ")) score.validAccepted++;
        else misses.push({ id, kind: "valid rejected", keyword: keywordsOf(schema) });
      } else {
        score.invalid++;
        if (!accepted) score.invalidRejected++;
        else misses.push({ id, kind: "invalid accepted", keyword: keywordsOf(schema) });
      }
    }
  }
  return { scores: [...scores.values()], misses };
}

function emptyScore(family: string): FamilyScore {
  return { family, schemas: 0, compiled: 0, valid: 0, validAccepted: 0, invalid: 0, invalidRejected: 0 };
}

function keywordsOf(schema: unknown): string {
  const found = new Set<string>();
  const walk = (value: unknown): void => {
    if (typeof value !== "object" || value === null) return;
    for (const [key, child] of Object.entries(value)) {
      if (/^(pattern|format|oneOf|anyOf|allOf|not|if|m(in|ax)[A-Z]|multipleOf|patternProperties)/.test(key))
        found.add(key);
      walk(child);
    }
  };
  walk(schema);
  return [...found].join(", ");
}
