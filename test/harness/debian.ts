import { spawn } from "node:child_process";
import { globSync } from "node:fs";

/** A machine's part for a test that can't be had here, and why: what a skipped suite prints. */
export interface Unable {
  readonly unable: string;
}

/** Where Debian puts the servers; other machines may have them on the PATH of a user that isn't root. */
const PLACES = {
  initdb: ["/usr/lib/postgresql/*/bin/initdb", "/usr/local/bin/initdb", "/opt/homebrew/bin/initdb"],
  "redis-server": [
    "/usr/bin/redis-server",
    "/usr/bin/valkey-server",
    "/usr/local/bin/redis-server",
    "/opt/homebrew/bin/redis-server",
  ],
} as const;

/** Debian's own servers; two test files may come here at once, and none of them may stay running as a service. */
const INSTALL = `
ls /usr/lib/postgresql/*/bin/initdb /usr/bin/redis-server && exit 0
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  trap "rm -f $policy" EXIT
  printf '#!/bin/sh\\nexit 101\\n' > $policy && chmod +x $policy
fi
timeout 60 apt-get update -qq
timeout 120 apt-get install -y -qq --no-install-recommends postgresql redis-server
`;

/** The path of a server's program, installed first where this is Debian and we are root. */
export async function findServer(name: keyof typeof PLACES): Promise<string | Unable> {
  const find = () => PLACES[name].flatMap((place) => globSync(place).sort()).at(-1);
  const found = find();
  if (found !== undefined) return found;
  if (process.getuid?.() !== 0) return { unable: `${name} isn't here, and only root could install it` };
  const text = await install();
  return find() ?? { unable: `${name} isn't here, and apt-get couldn't install it: ${text.slice(-200)}` };
}

/** Ids that a server may run as, since Postgres refuses root: Debian's `nobody`; nothing where we aren't root. */
export function unprivileged(): { readonly uid: number; readonly gid: number } | undefined {
  return process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : undefined;
}

function install(): Promise<string> {
  return new Promise((resolve) => {
    const child = spawn("flock", ["/tmp/sluice-apt.lock", "sh", "-c", INSTALL], {
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
      stdio: ["ignore", "ignore", "pipe"],
    });
    let text = "";
    child.stderr.on("data", (chunk: Buffer) => {
      text = (text + chunk.toString()).slice(-2000);
    });
    child.on("error", (error) => resolve(error.message));
    child.on("close", () => resolve(text.trim()));
  });
}
