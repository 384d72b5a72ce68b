import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { groupMembers } from "../../../../runtime-node/engines/process-group.ts";
import { recordChild, sweepOrphans } from "../../../../runtime-node/engines/process-record.ts";
import { eventually } from "../../../harness/wire.ts";
import { isAlive } from "./fakes.ts";

const PARENT = new URL("orphan-parent.ts", import.meta.url).pathname;

let stateDir: string;
beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), "sluice-orphans-"));
});
afterEach(() => rmSync(stateDir, { recursive: true, force: true }));

/** Starts a server with a fake engine; resolves with both ids. */
async function startParent(fake: Record<string, unknown>) {
  const parent = spawn(process.execPath, [PARENT, stateDir, JSON.stringify(fake)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  for await (const line of createInterface({ input: parent.stdout })) {
    const pid = /^ready (\d+)$/.exec(line)?.[1];
    if (pid !== undefined) return { parent, pid: Number(pid) };
  }
  throw new Error("The parent ended before its engine was ready");
}

it("a server that exits without a stop takes its engines with it", async () => {
  const { parent, pid } = await startParent({ grandchild: true, ignoreTerm: true });
  parent.kill("SIGUSR2");
  await once(parent, "exit");
  await eventually(async () => expect(await groupMembers(pid)).toEqual([]));
});

describe("after the server was killed with -9", () => {
  it.each([{}, { grandchild: true }, { ignoreTerm: true, grandchild: "own" }])(
    "the next start leaves nothing of its engine: %j",
    async (fake) => {
      const { parent, pid } = await startParent(fake);
      expect(await sweepOrphans(stateDir)).toEqual([]);
      parent.kill("SIGKILL");
      await once(parent, "exit");
      expect(await isAlive(pid)).toBe(true);
      const [swept] = await sweepOrphans(stateDir, 300);
      expect(swept?.id).toBe("fake");
      expect(swept?.pids).toContain(pid);
      for (const each of swept?.pids ?? []) expect(await isAlive(each)).toBe(false);
      expect(await groupMembers(pid)).toEqual([]);
      expect(readdirSync(stateDir)).toEqual([]);
      expect(await sweepOrphans(stateDir)).toEqual([]);
    },
  );
});

describe("a sweep", () => {
  /** A process that isn't ours, noted as if its owner were gone; `change` alters the note. */
  async function swept(change: Record<string, unknown>) {
    const child = spawn("sleep", ["60"], { detached: true, stdio: "ignore" });
    const pid = child.pid ?? 0;
    await recordChild(stateDir, { id: "other", pid, port: 1, tag: "none" });
    const [file = ""] = readdirSync(stateDir);
    const path = join(stateDir, file);
    const note = JSON.parse(readFileSync(path, "utf8"));
    writeFileSync(path, JSON.stringify({ ...note, owner: { pid: 2 ** 22 + 1, startedAt: "0" }, ...change }));
    await sweepOrphans(stateDir);
    const lives = await isAlive(pid);
    child.kill("SIGKILL");
    return { lives, notes: readdirSync(stateDir) };
  }

  it("ends what start time and command line say is ours", async () => {
    expect(await swept({})).toEqual({ lives: false, notes: [] });
  });

  it.each([
    ["another start time: the id was used again", { startedAt: "12345" }],
    ["another command line", { command: "vllm serve" }],
    ["another boot", { boot: "before" }],
  ])("leaves alone what has %s", async (_name, change) => {
    expect(await swept(change)).toEqual({ lives: true, notes: [] });
  });

  it("passes over notes that are no notes", async () => {
    writeFileSync(join(stateDir, "1-2.json"), "{");
    expect(await sweepOrphans(stateDir)).toEqual([]);
    expect(await sweepOrphans(join(stateDir, "nowhere"))).toEqual([]);
  });
});
