import { expect, test } from "vitest";
import { readRealSchemas, samplePath, scoreFamilies } from "./real-schemas.ts";

/** Shares of what a family must compile (issue: structured output, acceptance). */
const LEAST_COMPILED: Readonly<Record<string, number>> = {
  glaive: 0.97,
  bfcl: 0.97,
  mcp: 0.97,
  easy: 0.9,
  medium: 0.75,
};

const schemas = readRealSchemas();

test("real schemas compile, accept their valid documents and reject their invalid ones", ({ skip }) => {
  if (schemas === undefined) {
    console.log(`skipped: no real schemas at ${samplePath()} (set JSONSCHEMAS)`);
    skip();
    return;
  }
  const { scores, misses } = scoreFamilies(schemas);
  const list = misses.map(({ id, kind, keyword }) => `${id} ${kind}: ${keyword}`).join("\n");
  for (const { family, schemas: count, compiled, valid, validAccepted, invalid, invalidRejected } of scores) {
    expect(compiled / count, `${family} compiled\n${list}`).toBeGreaterThanOrEqual(
      LEAST_COMPILED[family] ?? 0,
    );
    expect(validAccepted, `${family} valid accepted\n${list}`).toBeGreaterThanOrEqual(0.99 * valid);
    expect(invalidRejected, `${family} invalid rejected\n${list}`).toBeGreaterThanOrEqual(0.98 * invalid);
  }
});
