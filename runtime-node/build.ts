import { copyFile, mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** Loads native code that it looks for beside itself. Everything else goes into the bundle, exactly as tested here. */
const EXTERNAL = ["node-llama-cpp"];

/** What undici 8 asks for; the bundle is JavaScript, so no later one is needed. */
const MIN_NODE = [22, 19] as const;

/** CommonJS packages in the bundle ask for Node's modules by `require`, which an ES module hasn't. */
const BANNER = `import { createRequire } from "node:module"; const require = createRequire(import.meta.url);`;

/** Says what is wrong on an old Node, where the bundle would end in a syntax or import error. */
const LAUNCHER = `#!/usr/bin/env node
const [major, minor] = process.versions.node.split(".").map(Number);
if (major < ${MIN_NODE[0]} || (major === ${MIN_NODE[0]} && minor < ${MIN_NODE[1]})) {
  console.error("sluice: needs Node ${MIN_NODE.join(".")} or later; this is " + process.versions.node);
  process.exit(1);
}
await import("./sluice.js");
`;

/** The files of the package, besides package.json, README and licence, which npm always takes. */
const FILES = ["bin.js", "sluice.js", "demo", "config.schema.json", "README.zh-CN.md", "sluice.example.yaml"];

/** Writes a package that can be published into `outdir`; leaves other files there alone. */
export async function buildPackage(outdir = join(ROOT, "dist")): Promise<void> {
  await Promise.all(
    [...FILES, "package.json"].map((name) => rm(join(outdir, name), { recursive: true, force: true })),
  );
  await mkdir(join(outdir, "demo"), { recursive: true });
  const manifest = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8"));
  await Promise.all([
    build({
      entryPoints: { sluice: join(ROOT, "runtime-node", "main.ts") },
      outdir,
      bundle: true,
      format: "esm",
      platform: "node",
      target: "node22",
      external: EXTERNAL,
      banner: { js: BANNER },
      legalComments: "inline",
      logLevel: "warning",
    }),
    writeFile(join(outdir, "bin.js"), LAUNCHER, { mode: 0o755 }),
    writeJson(join(outdir, "package.json"), publishedManifest(manifest)),
    copyFile(join(ROOT, "shared", "config.schema.json"), join(outdir, "config.schema.json")),
    // Beside the bundle, as it is beside download-source.ts: found relative to import.meta.url in both.
    copyFile(
      join(ROOT, "runtime-node", "models", "demo", "sluice-demo.gguf"),
      join(outdir, "demo", "sluice-demo.gguf"),
    ),
    ...["README.md", "README.zh-CN.md", "LICENSE", "sluice.example.yaml"].map((name) =>
      copyIfThere(join(ROOT, name), join(outdir, name)),
    ),
  ]);
}

/** The manifest of the package: what runs it, with the exact versions that were tested. */
export function publishedManifest(manifest: {
  readonly name: string;
  readonly version: string;
  readonly description?: string;
  readonly license?: string;
  readonly repository?: unknown;
  readonly dependencies: Readonly<Record<string, string>>;
}): Record<string, unknown> {
  const { name, version, description, license, repository, dependencies } = manifest;
  return {
    name,
    version,
    description,
    license,
    repository,
    type: "module",
    bin: { sluice: "bin.js" },
    files: FILES,
    engines: { node: `>=${MIN_NODE.join(".")}.0` },
    dependencies: Object.fromEntries(EXTERNAL.map((external) => [external, dependencies[external]])),
  };
}

async function writeJson(path: string, value: unknown): Promise<void> {
  await writeFile(path, `${JSON.stringify(value, undefined, 2)}\n`);
}

async function copyIfThere(from: string, to: string): Promise<void> {
  const found = await stat(from).catch(() => undefined);
  if (found !== undefined) await copyFile(from, to);
}

if (import.meta.main) {
  await buildPackage();
  console.log("dist/ holds the package: npm pack ./dist, or npm publish ./dist");
}
