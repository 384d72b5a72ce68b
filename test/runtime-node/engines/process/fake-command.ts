import type { Log } from "../../../../functions/deps.ts";

const SCRIPT = new URL("fake-engine.mjs", import.meta.url).pathname;

/** What the fake engine is to do; see the script. */
export type Fake = Readonly<Record<string, unknown>>;

export function fakeCommand(fake: Fake, port: number) {
  return { file: process.execPath, args: [SCRIPT, JSON.stringify(fake), String(port)] };
}

export const quietLog: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
