import { homedir } from "node:os";
import { join } from "node:path";

export interface UserMachine {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly platform?: string;
  readonly home?: string;
}

/** What can be fetched again, and what can't: the XDG variable that names its place, and the places below the home. */
const KINDS = {
  cache: { variable: "XDG_CACHE_HOME", linux: ".cache", darwin: "Library/Caches" },
  data: { variable: "XDG_DATA_HOME", linux: ".local/share", darwin: "Library/Application Support" },
} as const;

/** Sluice's folder for that kind of thing, where the platform has its place for it. */
export function userFolder(
  kind: keyof typeof KINDS,
  { env = process.env, platform = process.platform, home = homedir() }: UserMachine = {},
): string {
  const { variable, linux, darwin } = KINDS[kind];
  const named = env[variable];
  if (named) return join(named, "sluice");
  switch (platform) {
    case "darwin":
      return join(home, darwin, "sluice");
    case "win32":
      return join(env.LOCALAPPDATA || join(home, "AppData", "Local"), "sluice");
    default:
      return join(home, linux, "sluice");
  }
}
