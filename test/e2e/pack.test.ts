import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { buildPackage } from "../../runtime-node/build.ts";
import { npm, serve } from "./served.ts";

const { llamaPackages } = await import(new URL("../../runtime-node/run.mjs", import.meta.url).href);

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sluice-pack-"));
});

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

test("packed and installed into an empty folder, it serves the demo model", {
  timeout: 180_000,
}, async (context) => {
  const dist = join(folder, "dist");
  await buildPackage(dist);
  const packed = npm(["pack", "--pack-destination", folder], dist);
  expect(packed.ok, packed.output).toBe(true);
  const [archive = ""] = (await readdir(folder)).filter((name) => name.endsWith(".tgz"));

  const app = join(folder, "app");
  await mkdir(app);
  await writeFile(join(app, "package.json"), '{ "private": true }\n');
  const { dependencies } = JSON.parse(await readFile(join(dist, "package.json"), "utf8"));
  const machine = {
    platform: process.platform,
    arch: process.arch,
    libc: "glibc",
    hasNvidia: false,
    hasAmd: false,
  };
  const binaries = llamaPackages(machine).map((name: string) => `${name}@${dependencies["node-llama-cpp"]}`);
  const installed = npm(
    [
      "install",
      "--omit=optional",
      "--ignore-scripts",
      "--no-audit",
      "--no-fund",
      "--prefer-offline",
      join(folder, archive),
      ...binaries,
    ],
    app,
  );
  if (installed.isOffline)
    context.skip("npm has neither node-llama-cpp in its cache nor a network to fetch it");
  expect(installed.ok, installed.output).toBe(true);

  const help = npm(["exec", "--no", "--", "sluice", "--help"], app);
  expect(help.output).toMatch(/Usage: sluice/);

  const script = join(app, "node_modules", "sluice", "bin.js");
  const served = await serve(
    process.execPath,
    [script, "--host", "127.0.0.1", "--port", "0", "--model", "demo"],
    app,
  );
  try {
    const { choices } = await served.client.chat.completions.create({
      model: "sluice-demo",
      messages: [{ role: "user", content: "What is Sluice?" }],
      max_tokens: 16,
    });
    expect(choices[0]?.message.content).toMatch(/\w/);
  } finally {
    await served.stop();
  }
});
