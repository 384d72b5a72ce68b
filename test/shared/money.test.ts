import fc from "fast-check";
import { expect, it } from "vitest";
import { formatUsd, parseUsd } from "../../shared/money.ts";

it.each([
  [0, "0"],
  [1, "0.000000001"],
  [12_345, "0.000012345"],
  [5_000_000_000, "5"],
  [-250_000_000, "-0.25"],
  [Number.MAX_SAFE_INTEGER, "9007199.254740991"],
])("writes %j nano-dollars as %j", (nano, text) => {
  expect(formatUsd(nano)).toBe(text);
});

it("reads back every amount that it writes", () => {
  fc.assert(
    fc.property(fc.maxSafeInteger(), (nano) => {
      expect(parseUsd(formatUsd(nano))).toBe(nano);
    }),
  );
});

it.each(["", "1e3", "0.0000000001", "1,5", "$5", " 5", ".5", "10000000", "Infinity", "--1"])(
  "refuses %j",
  (text) => {
    expect(parseUsd(text)).toBeUndefined();
  },
);
