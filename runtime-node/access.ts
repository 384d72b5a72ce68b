import type { Config } from "../shared/config.ts";
import { withConfigured } from "../shared/configured-directory.ts";
import type { Directory } from "../shared/directory.ts";
import { InputError } from "./input-error.ts";

/** Who may use this server: whoever has one of so many keys, or everybody. */
export type Access =
  | { readonly kind: "open" }
  | { readonly kind: "keys"; readonly keys: number }
  /** Nobody yet: the admin API makes the first key. */
  | { readonly kind: "admin" };

export const OPEN_WARNING = "no keys: whoever reaches this port may use it";
export const OPEN_TODO = "Make a key with `sluice keys create`, and set `auth: required`.";

/** Throws an InputError where `auth: required` lets nobody in, and nobody could be let in later. */
export async function accessOf(config: Config, directory: Directory): Promise<Access> {
  const keys = (await withConfigured(config, directory).keys()).length;
  if (keys > 0) return { kind: "keys", keys };
  if (config.auth === "auto") return { kind: "open" };
  if (config.admin.key !== undefined) return { kind: "admin" };
  throw new InputError(
    "`auth` is required and there is not a single key; make one with `sluice keys create`, put one under `keys`, or set `admin.key` to make them by the admin API.",
  );
}
