import { expect, it } from "vitest";
import { createHistogram } from "../../../loadtest/histogram.ts";
import { percentile } from "../../../loadtest/report/tables.ts";

it.each([
  ["p90", 100],
  ["p95", 200],
  ["p99", 1000],
  ["p99_9", 10_000],
] as const)(
  "marks %s where fewer than 10 values lie beyond it, and no more from %d values on",
  (key, count) => {
    expect(percentile(distributionOf(count - 1), key)).toMatch(/^~/);
    expect(percentile(distributionOf(count), key)).not.toMatch(/^~/);
  },
);

function distributionOf(count: number) {
  const histogram = createHistogram();
  histogram.record(5, count);
  const distribution = histogram.distribution();
  if (distribution === undefined) throw new RangeError("there are values");
  return distribution;
}
