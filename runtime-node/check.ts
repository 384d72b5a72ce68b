import { spawn } from "node:child_process";
import { glob, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export interface SourceFile {
  /** From the root, with `/`. */
  readonly path: string;
  readonly text: string;
}

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const MAX_LINES = 300;

/** A sign that the house is going wrong: what no line may hold but in the places that are for it. */
interface Sign {
  readonly pattern: RegExp;
  readonly reason: string;
  isAllowed(path: string): boolean;
}

const isTooling = (path: string): boolean => /^(test|loadtest)\/|^runtime-node\/check\.ts$/.test(path);

const SIGNS: readonly Sign[] = [
  {
    pattern: /new TextDecoder(Stream)?\(/,
    reason: "shared/openai/sse.ts is the one reader of streams",
    isAllowed: (path) => path === "shared/openai/sse.ts" || isTooling(path),
  },
  {
    pattern: /\berror: \{\s*(message|type|code|param)\b/,
    reason: "error bodies are built in shared/openai/errors.ts",
    isAllowed: (path) => path === "shared/openai/errors.ts" || isTooling(path),
  },
  {
    pattern: /\.(prompt|completion|total)_tokens\b/,
    reason: "shared/openai/usage.ts is the one reader of usage",
    isAllowed: (path) => /^shared\/openai\/(usage|schemas)\.ts$/.test(path) || isTooling(path),
  },
  {
    pattern: /\bif \((runtime|engine) ===/,
    reason: "what differs between hosts or engines belongs into its adapter",
    isAllowed: (path) => path.startsWith("runtime-node/engines/") || isTooling(path),
  },
  {
    pattern: /\.tee\(\)/,
    reason: "a stream has one owner; tee() buffers without bound",
    isAllowed: isTooling,
  },
];

/** What a floor may import: folders or files of ours, and packages. */
const FLOORS: Readonly<
  Record<string, { readonly ours: readonly string[]; readonly packages?: readonly string[] }>
> = {
  shared: { ours: ["shared/"], packages: ["zod"] },
  functions: { ours: ["functions/", "shared/"], packages: ["hono", "itty-durable", "zod"] },
  "runtime-node": { ours: ["runtime-node/", "functions/", "shared/", "package.json"] },
  loadtest: {
    ours: ["loadtest/", "shared/", "runtime-node/probe.ts", "runtime-node/monitor.ts", "package.json"],
  },
};

/** Everything wrong with the files by the house's rules, one line each. */
export function houseProblems(files: readonly SourceFile[]): string[] {
  return files.flatMap((file) => [...signProblems(file), ...importProblems(file), ...lengthProblems(file)]);
}

function signProblems({ path, text }: SourceFile): string[] {
  const signs = SIGNS.filter((sign) => !sign.isAllowed(path));
  return text
    .split("\n")
    .flatMap((line, index) =>
      signs
        .filter(({ pattern }) => pattern.test(line) && !/^\s*(\/\/|\*|\/\*)/.test(line))
        .map(({ reason }) => `${path}:${index + 1}: ${reason}`),
    );
}

function importProblems({ path, text }: SourceFile): string[] {
  const [floor = ""] = path.split("/");
  const allowed = FLOORS[floor];
  if (allowed === undefined) return [];
  return importsOf(text).flatMap((specifier) => {
    const problem = specifier.startsWith(".")
      ? ownImportProblem(path, new URL(specifier, `file:///${path}`).pathname.slice(1), allowed.ours)
      : packageProblem(floor, specifier, allowed.packages);
    return problem === undefined ? [] : [`${path}: imports ${specifier}: ${problem}`];
  });
}

function importsOf(text: string): string[] {
  const pattern =
    /^(?:import|export)\s[\w$*{}\s,]*?\sfrom "([^"]+)"|^import "([^"]+)"|\bimport\("([^"]+)"\)/gm;
  return Array.from(text.matchAll(pattern), ([, named, bare, dynamic]) => named ?? bare ?? dynamic ?? "");
}

function ownImportProblem(from: string, to: string, ours: readonly string[]): string | undefined {
  // A bench measures parts of the project, and is judged by the tests' own oracles.
  if (from.startsWith("loadtest/bench-")) return undefined;
  if (!ours.some((place) => to.startsWith(place))) return `may import ${ours.join(", ")} only`;
  const isPeer = (folder: string, to_: string): boolean => from.startsWith(folder) && to_.startsWith(folder);
  if (isPeer("functions/routes/", to)) return "routes don't import each other";
  const adapter = /^runtime-node\/engines\/(?:llama-cpp|vllm|mlx|llama-server)\.ts$/;
  if (adapter.test(from) && adapter.test(to)) return "engines don't import each other";
  return undefined;
}

function packageProblem(
  floor: string,
  specifier: string,
  packages: readonly string[] | undefined,
): string | undefined {
  if (packages === undefined) return undefined;
  const name = specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
  return packages.includes(name)
    ? undefined
    : `${floor}/ may import the packages ${packages.join(", ")} only`;
}

function lengthProblems({ path, text }: SourceFile): string[] {
  const lines = text.trimEnd().split("\n");
  if (lines.length <= MAX_LINES || path.startsWith("test/") || /^\/[/*]/.test(lines[0] ?? "")) return [];
  return [`${path}: ${lines.length} lines; past ${MAX_LINES} the first line says why it stays in one piece`];
}

/** Where package-lock.json differs from what package.json asks for, one line each. */
export function lockProblems(
  manifest: Manifest,
  lock: { readonly packages: Readonly<Record<string, Manifest>> },
): string[] {
  const locked = lock.packages[""] ?? {};
  return (["dependencies", "devDependencies"] as const).flatMap((kind) => {
    const wanted = manifest[kind] ?? {};
    const names = new Set([...Object.keys(wanted), ...Object.keys(locked[kind] ?? {})]);
    return [...names]
      .filter(
        (name) =>
          wanted[name] !== locked[kind]?.[name] || lock.packages[`node_modules/${name}`] === undefined,
      )
      .map(
        (name) => `package-lock.json: ${name} is not as in package.json; run npm install --package-lock-only`,
      );
  });
}

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

interface Check {
  readonly name: string;
  /** Resolves with what is wrong, or with an empty text. */
  run(): Promise<string>;
}

const CHECKS: readonly Check[] = [
  {
    name: "format and lint (biome)",
    run: () => runTool("@biomejs/biome/bin/biome", ["ci", "--colors=off", "--diagnostic-level=warn", "."]),
  },
  { name: "types of the host (tsc)", run: () => runTool("typescript/bin/tsc", ["-p", "tsconfig.json"]) },
  {
    name: "types at the edge (tsc)",
    run: () => runTool("typescript/bin/tsc", ["-p", "functions/tsconfig.json"]),
  },
  { name: "the house's rules", run: async () => houseProblems(await readSources()).join("\n") },
  {
    name: "package-lock.json in step",
    run: async () =>
      lockProblems(await readJson("package.json"), await readJson("package-lock.json")).join("\n"),
  },
];

async function main(): Promise<number> {
  const outcomes = await Promise.all(
    CHECKS.map(async ({ name, run }) => {
      const startedAt = performance.now();
      const output = await run().catch((error: unknown) => String(error));
      const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
      console.log(
        output === ""
          ? `ok      ${name} (${seconds} s)`
          : `failed  ${name} (${seconds} s)\n${output.trimEnd()}`,
      );
      return output === "";
    }),
  );
  return outcomes.every(Boolean) ? 0 : 1;
}

async function readSources(): Promise<SourceFile[]> {
  const files: SourceFile[] = [];
  for await (const found of glob("{shared,functions,runtime-node,loadtest,test}/**/*.ts", { cwd: ROOT })) {
    const path = found.replaceAll("\\", "/");
    files.push({ path, text: await readFile(join(ROOT, found), "utf8") });
  }
  return files.sort((a, b) => a.path.localeCompare(b.path));
}

async function readJson(name: string) {
  return JSON.parse(await readFile(join(ROOT, name), "utf8"));
}

/** Runs the JavaScript file of an installed tool; resolves with its output when it fails. */
function runTool(file: string, args: readonly string[]): Promise<string> {
  const child = spawn(process.execPath, [join(ROOT, "node_modules", file), ...args], { cwd: ROOT });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  }
  return new Promise((done, failed) => {
    child.once("error", failed);
    child.once("close", (code) => done(code === 0 ? "" : output || `exit code ${code}`));
  });
}

if (import.meta.main) process.exitCode = await main();
