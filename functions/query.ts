import type { Context } from "hono";
import { z } from "zod";
import { parseBody } from "../shared/openai/schemas.ts";

/** The URL's query as `schema` reads it; lists come as `name=a&name=b` or `name[]=a`. Throws a 400 that names the parameter. */
export function readQuery<T extends z.ZodObject>(c: Context, schema: T): z.infer<T> {
  const query = Object.entries(c.req.queries()).map(([name, values]) =>
    name.endsWith("[]") ? [name.slice(0, -2), values] : [name, values.length === 1 ? values[0] : values],
  );
  return parseBody(schema, Object.fromEntries(query));
}

/** One value or several, of those in `allowed` where it is given. */
export function listOf<T extends z.ZodType<string, string>>(each: T) {
  return z.preprocess((value) => (typeof value === "string" ? [value] : value), z.array(each).max(100));
}

/** A moment as Unix seconds or ISO 8601, in Unix ms. */
export const moment = z.string().transform((text, context) => {
  const ms = /^\d{1,11}$/.test(text) ? Number(text) * 1000 : Date.parse(text);
  if (Number.isFinite(ms)) return ms;
  context.addIssue({ code: "custom", message: "Unix seconds or a date such as 2026-11-30T00:00:00Z" });
  return z.NEVER;
});

export const unixSeconds = z
  .string()
  .regex(/^\d{1,11}$/, "Unix seconds")
  .transform(Number);
