import { mkdtemp, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { runSluice } from "../harness/sluice.ts";

async function configFile(text: string): Promise<string> {
  const path = join(await mkdtemp(join(tmpdir(), "sluice-cli-")), "sluice.yaml");
  await writeFile(path, text);
  return path;
}

it.each([[[]], [["serve"]]])("serves when it is started as %j, as npm start does", async (words) => {
  const sluice = runSluice(words, { HOST: "127.0.0.1", PORT: "0" });
  await sluice.printed(/listening\s+http:\/\/127\.0\.0\.1/);
  sluice.child.kill("SIGTERM");
  expect(await sluice.ended).toBe(0);
});

it("names every bad value of the configuration at once and exits with 2", async () => {
  const path = await configFile(
    "port: 99999\nengine: warp\nbackends:\n  - id: a\n    url: ftp://x\nprot: 1\n",
  );
  const sluice = runSluice(["--config", path]);
  expect(await sluice.ended).toBe(2);
  for (const expected of [
    /port.*99999.*65535/,
    /engine.*warp.*llama_cpp/,
    /backends\[0\]\.url.*ftp/,
    /prot/,
  ]) {
    expect(sluice.output()).toMatch(expected);
  }
  expect(sluice.output()).not.toMatch(/^\s+at /m);
});

it("names the URL and the cause of a model that can't be downloaded and exits with 2", async () => {
  const cache = await mkdtemp(join(tmpdir(), "sluice-cache-"));
  const url = "http://127.0.0.1:9/model.gguf";
  const sluice = runSluice(["--port", "0", "--model", url], { SLUICE_DOWNLOADS_CACHE_DIR: cache });
  expect(await sluice.ended).toBe(2);
  expect(sluice.output()).toContain(url);
  expect(sluice.output()).toMatch(/refused|ECONNREFUSED|bad port/i);
});

it("says who has the port and exits with 1", async () => {
  const other = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => other.once("listening", resolve));
  const address = other.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const sluice = runSluice(["--host", "127.0.0.1", "--port", String(port), "--engine", "dummy"]);
  expect(await sluice.ended).toBe(1);
  expect(sluice.output()).toMatch(
    new RegExp(`127\\.0\\.0\\.1:${port} is taken by another program; choose another with --port`),
  );
  other.close();
});

it.each([[["--help"]], [["pull", "--help"]]])("explains itself: %j", async (args) => {
  const sluice = runSluice(args);
  expect(await sluice.ended).toBe(0);
  expect(sluice.output()).toMatch(/Usage: sluice/);
});

it("refuses an unknown flag with 2 and points at the help", async () => {
  const sluice = runSluice(["--prot", "1"]);
  expect(await sluice.ended).toBe(2);
  expect(sluice.output()).toMatch(/unknown option '--prot'[\s\S]*--port[\s\S]*--help/);
});
