import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../../runtime-node/main.ts", import.meta.url));

export interface Sluice {
  readonly child: ChildProcess;
  /** Everything it printed so far, both streams. */
  output(): string;
  /** Waits until the output matches; rejects when the process ends first. */
  printed(pattern: RegExp): Promise<RegExpMatchArray>;
  /** Its exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals | null>;
}

/** The command as a user runs it, in a process of its own. The environment is this one's without `SLUICE_…` and forced colours, with a data folder of its own. */
export function runSluice(args: readonly string[], env: Record<string, string> = {}): Sluice {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(SLUICE_|HOST$|PORT$|FORCE_COLOR$)/.test(name),
  );
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: { ...Object.fromEntries(inherited), XDG_DATA_HOME: dataHome(), ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let text = "";
  const waiting = new Set<() => void>();
  const take = (chunk: Buffer) => {
    text += chunk.toString();
    for (const look of waiting) look();
  };
  child.stdout.on("data", take);
  child.stderr.on("data", take);
  const ended = once(child, "close").then(([code, signal]) => code ?? signal);
  return {
    child,
    output: () => text,
    ended,
    printed: (pattern) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const match = text.match(pattern);
          if (match === null) return;
          waiting.delete(look);
          resolve(match);
        };
        waiting.add(look);
        look();
        void ended.then((code) =>
          reject(new Error(`It ended with ${code} before printing ${pattern}: ${text}`)),
        );
      }),
  };
}

/** A server on a free loopback port that has printed all of its banner. */
export async function startSluice(
  args: readonly string[] = [],
  env: Record<string, string> = {},
): Promise<Sluice & { readonly url: string }> {
  const sluice = runSluice(["--host", "127.0.0.1", "--port", "0", ...args], env);
  const [, url = ""] = await sluice.printed(/listening\s+(http:\/\/\S+)\/v1[\s\S]*openai /);
  return { ...sluice, url };
}

/** Where one command keeps its ledger; given to others as XDG_DATA_HOME, they share it. */
export function dataHome(): string {
  return mkdtempSync(join(tmpdir(), "sluice-data-"));
}
