import { z } from "zod";

/** Values that several parts of the configuration have. */

export function wholeNumber(min: number, max: number) {
  return z.int().min(min).max(max);
}

export const modelName = z.string().regex(/^\S(.{0,254}\S)?$/, "a name of 1 to 256 characters");
