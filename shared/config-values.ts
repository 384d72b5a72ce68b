import { z } from "zod";

/** Values that several parts of the configuration have. */

export function wholeNumber(min: number, max: number) {
  return z.int().min(min).max(max);
}

export const modelName = withoutNul(z.string().regex(/^\S(.{0,254}\S)?$/, "a name of 1 to 256 characters"));

/** Words of an operator's own, kept with keys and accounts. */
export const labels = z.record(withoutNul(z.string().min(1).max(64)), withoutNul(z.string().max(256)));

/** PostgreSQL keeps no U+0000. */
function withoutNul(text: z.ZodString) {
  return text.refine((value) => !value.includes("\0"), "text without a NUL character");
}
