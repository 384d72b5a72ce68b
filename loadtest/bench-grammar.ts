/**
 * The JSON-schema converter on real schemas: `npm run bench:grammar [-- --json]`.
 * Acceptance is judged by the test suite's own GBNF matcher, not by generating.
 */
import {
  type FamilyScore,
  readRealSchemas,
  samplePath,
  scoreFamilies,
} from "../test/runtime-node/engines/grammar/real-schemas.ts";

const schemas = readRealSchemas();
if (schemas === undefined) {
  console.error(`No real schemas at ${samplePath()}: set JSONSCHEMAS to a sample.jsonl of jsonschemabench.`);
  process.exit(1);
}
const started = performance.now();
const { scores, misses } = scoreFamilies(schemas);
const seconds = (performance.now() - started) / 1_000;

if (process.argv.includes("--json")) console.log(JSON.stringify({ scores, misses, seconds }, null, 2));
else {
  console.log("| family | schemas | compiled | valid accepted | invalid rejected |\n|---|---|---|---|---|");
  for (const score of [...scores, total(scores)]) {
    const { family, schemas: count, compiled, valid, validAccepted, invalid, invalidRejected } = score;
    const cells = [share(compiled, count), share(validAccepted, valid), share(invalidRejected, invalid)];
    console.log(`| ${[family, count, ...cells].join(" | ")} |`);
  }
  console.log(misses.length === 0 ? "\nNo misses." : "\nMisses:");
  for (const { id, kind, keyword } of misses) console.log(`- ${id}: ${kind} (${keyword})`);
  console.log(`\n${seconds.toFixed(1)} s`);
}

function share(part: number, whole: number): string {
  return whole === 0 ? "–" : `${((100 * part) / whole).toFixed(1)} % (${part}/${whole})`;
}

function total(list: readonly FamilyScore[]): FamilyScore {
  const sum = (of: (score: FamilyScore) => number): number => list.reduce((all, score) => all + of(score), 0);
  return {
    family: "all",
    schemas: sum((score) => score.schemas),
    compiled: sum((score) => score.compiled),
    valid: sum((score) => score.valid),
    validAccepted: sum((score) => score.validAccepted),
    invalid: sum((score) => score.invalid),
    invalidRejected: sum((score) => score.invalidRejected),
  };
}
