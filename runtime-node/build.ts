import { copyFile, cp, mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/**
 * Load native code that they look for beside themselves. Everything else goes into the bundle, exactly as tested here.
 * resvg draws the load tester's pictures: its code for one machine is 4 MB, which npm chooses; an install without it
 * does not fail, and the load tester then writes its page alone.
 */
const EXTERNAL = ["node-llama-cpp", "@resvg/resvg-js"];

/** What undici 8 asks for; the bundle is JavaScript, so no later one is needed. */
const MIN_NODE = [22, 19] as const;

/** CommonJS packages in the bundle ask for Node's modules by `require`, which an ES module hasn't. */
const BANNER = `import { createRequire as bundleRequire } from "node:module"; const require = bundleRequire(import.meta.url);`;

/** Says what is wrong on an old Node, where the bundle would end in a syntax or import error. */
const LAUNCHER = `#!/usr/bin/env node
const [major, minor] = process.versions.node.split(".").map(Number);
if (major < ${MIN_NODE[0]} || (major === ${MIN_NODE[0]} && minor < ${MIN_NODE[1]})) {
  console.error("sluice: needs Node ${MIN_NODE.join(".")} or later; this is " + process.versions.node);
  process.exit(1);
}
await import("./lib/sluice.js");
`;

/** The files of the package, besides package.json, README and licence, which npm always takes. */
const FILES = ["bin.js", "lib", "config.schema.json", "README.zh-CN.md", "sluice.example.yaml"];

/**
 * What our code reads as files, by its place beside the bundle. It is found relative to import.meta.url: here beside its
 * module, there beside the bundle.
 */
const OURS: Readonly<Record<string, string>> = {
  "demo/sluice-demo.gguf": "runtime-node/models/demo/sluice-demo.gguf",
  profiles: "loadtest/profiles",
  "stages.yaml": "loadtest/stages.yaml",
};

/** What is read of packages is found by such a name: package.json's `imports` leads to the package here, to a copy there. */
const ASSETS = "#assets/";

/** Writes a package that can be published into `outdir`; leaves other files there alone. */
export async function buildPackage(outdir = join(ROOT, "dist")): Promise<void> {
  await Promise.all(
    [...FILES, "package.json"].map((name) => rm(join(outdir, name), { recursive: true, force: true })),
  );
  const lib = join(outdir, "lib");
  await mkdir(join(lib, "assets"), { recursive: true });
  const manifest = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8"));
  const assets = Object.keys(manifest.imports).filter((name) => name.startsWith(ASSETS));
  await Promise.all([
    build({
      // The load tester is a program of its own, which it also starts itself for its mock. What both use is there once.
      entryPoints: {
        sluice: join(ROOT, "runtime-node", "main.ts"),
        loadtest: join(ROOT, "loadtest", "main.ts"),
      },
      outdir: lib,
      bundle: true,
      splitting: true,
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
    ...Object.entries(OURS).map(([to, from]) => cp(join(ROOT, from), join(lib, to), { recursive: true })),
    ...assets.map((name) =>
      copyFile(fileURLToPath(import.meta.resolve(name)), join(lib, "assets", name.slice(ASSETS.length))),
    ),
    // Asked for wherever its fonts are.
    copyFile(
      fileURLToPath(import.meta.resolve("dejavu-fonts-ttf/LICENSE")),
      join(lib, "assets", "DejaVu-LICENSE"),
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
  readonly devDependencies: Readonly<Record<string, string>>;
}): Record<string, unknown> {
  const { name, version, description, license, repository } = manifest;
  // The load tester's packages are development tools in the project, and part of the package.
  const versions = { ...manifest.devDependencies, ...manifest.dependencies };
  return {
    name,
    version,
    description,
    license,
    repository,
    type: "module",
    bin: { sluice: "bin.js" },
    files: FILES,
    imports: { "#loadtest": "./lib/loadtest.js", [`${ASSETS}*`]: "./lib/assets/*" },
    engines: { node: `>=${MIN_NODE.join(".")}.0` },
    dependencies: Object.fromEntries(EXTERNAL.map((external) => [external, versions[external]])),
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
