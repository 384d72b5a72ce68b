import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, test as base, beforeAll, expect } from "vitest";
import { resultSchema } from "../../loadtest/result.ts";
import lock from "../../package-lock.json" with { type: "json" };
import { buildPackage } from "../../runtime-node/build.ts";
import { childEnv, npm, serve } from "./served.ts";

const { llamaPackages, toolPackages } = await import(
  new URL("../../runtime-node/run.mjs", import.meta.url).href
);

let folder: string;
/** Where it is installed; undefined where there is no network to install from. */
let installed: string | undefined;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sluice-pack-"));
  installed = await install();
}, 180_000);

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

const test = base.extend<{ app: string }>({
  app: ({ skip }, use) =>
    installed === undefined
      ? skip("npm has neither the packages in its cache nor a network to fetch them")
      : use(installed),
});

/** Packs it, and installs it into an empty folder with the native code for this machine alone. */
async function install(): Promise<string | undefined> {
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
    libc: process.platform === "linux" ? "glibc" : null,
    hasNvidia: false,
    hasAmd: false,
  };
  const resvg = Object.fromEntries(
    Object.entries(lock.packages).filter(([path]) => path.startsWith("node_modules/@resvg/")),
  );
  const binaries: readonly string[] = [
    ...llamaPackages(machine).map((name: string) => `${name}@${dependencies["node-llama-cpp"]}`),
    ...toolPackages({ packages: resvg }, machine),
  ];
  const { ok, output, isOffline } = npm(
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
  if (isOffline) return undefined;
  expect(ok, output).toBe(true);
  return app;
}

test("it serves the demo model", { timeout: 60_000 }, async ({ app }) => {
  const help = npm(["exec", "--no", "--", "sluice", "--help"], app);
  expect(help.output).toMatch(/Usage: sluice[\s\S]*loadtest/);

  const served = await serve(
    process.execPath,
    [scriptIn(app), "--host", "127.0.0.1", "--port", "0", "--model", "demo"],
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

test("its load tester measures a server and draws the report, without pictures where none can be drawn", {
  timeout: 60_000,
}, async ({ app }) => {
  const help = npm(["exec", "--no", "--", "sluice", "loadtest", "--help"], app);
  expect(help.output).toMatch(/Usage: sluice loadtest[\s\S]*sweep/);

  const mock = spawn(process.execPath, [scriptIn(app), "loadtest", "mock", "--ttft", "5ms"], {
    env: childEnv,
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    const [line = ""] = await once(createInterface(mock.stdout), "line");
    const url = /http:\S+/.exec(line)?.[0] ?? "";
    // A warning that the client was slow is no concern here: what was measured is written all the same.
    loadtest(app, ["run", url, "--users", "4", "--spawn", "4", "--time", "2s", "--out", "run", "--quiet"]);
  } finally {
    mock.kill("SIGTERM");
  }
  const result = resultSchema.parse(JSON.parse(await readFile(join(app, "run", "result.json"), "utf8")));
  expect(result.aggregated.requests).toBeGreaterThan(0);
  expect(result.aggregated.failures).toBe(0);
  expect(await readFile(join(app, "run", "report.html"), "utf8")).toContain("Apache Software Foundation");
  const picture = await readFile(join(app, "run", "charts", "rps.png"));
  expect(picture.subarray(1, 4).toString()).toBe("PNG");

  const native = await readdir(join(app, "node_modules", "@resvg"));
  for (const name of native.filter((each) => each !== "resvg-js"))
    await rm(join(app, "node_modules", "@resvg", name), { recursive: true });
  const { status, stderr } = loadtest(app, ["analyze", "run", "--out", "again"]);
  expect(stderr).toMatch(/no charts\/\*\.png.*resvg/);
  expect(status).toBe(0);
  expect(await readdir(join(app, "again"))).toContain("report.html");
  expect(await readdir(join(app, "again", "charts"))).toEqual([]);
});

function scriptIn(app: string): string {
  return join(app, "node_modules", "sluice", "bin.js");
}

function loadtest(app: string, args: readonly string[]) {
  const words = [scriptIn(app), "loadtest", ...args];
  return spawnSync(process.execPath, words, { cwd: app, env: childEnv, encoding: "utf8", timeout: 30_000 });
}
