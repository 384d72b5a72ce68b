/** US dollars as people write them, and the integer nano-dollars inside. */

const NANO_DIGITS = 9;
const NANO_PER_USD = 1_000_000_000n;

/** The exact amount as a decimal: 12,345 -> `"0.000012345"`, 5,000,000,000 -> `"5"`. */
export function formatUsd(nanoUsd: number): string {
  const nano = BigInt(nanoUsd);
  const size = nano < 0n ? -nano : nano;
  const fraction = (size % NANO_PER_USD).toString().padStart(NANO_DIGITS, "0").replace(/0+$/, "");
  return `${nano < 0n ? "-" : ""}${size / NANO_PER_USD}${fraction === "" ? "" : `.${fraction}`}`;
}

/**
 * Nano-dollars of a decimal such as `"5"`, `"-0.25"` or `"0.000000001"`, exactly. Undefined for any other text, more
 * than nine decimals, and amounts beyond exact integers.
 */
export function parseUsd(text: string): number | undefined {
  const match = /^(-?)(\d{1,9})(?:\.(\d{1,9}))?$/.exec(text);
  if (match === null) return undefined;
  const [, sign = "", whole = "", fraction = ""] = match;
  const nano = Number(BigInt(whole) * NANO_PER_USD + BigInt(fraction.padEnd(NANO_DIGITS, "0")));
  if (!Number.isSafeInteger(nano)) return undefined;
  return sign === "-" && nano !== 0 ? -nano : nano;
}
