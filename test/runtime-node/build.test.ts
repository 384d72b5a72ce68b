import { expect, test } from "vitest";
import manifest from "../../package.json" with { type: "json" };
import { publishedManifest } from "../../runtime-node/build.ts";

test("the published manifest has the command, the exact packages with native code, and nothing that only serves development", () => {
  const published = publishedManifest(manifest);
  expect(published).toMatchObject({
    name: "sluice",
    version: manifest.version,
    type: "module",
    bin: { sluice: "bin.js" },
    engines: { node: ">=22.19.0" },
  });
  expect(published.dependencies).toEqual({
    "node-llama-cpp": manifest.dependencies["node-llama-cpp"],
    "@resvg/resvg-js": manifest.devDependencies["@resvg/resvg-js"],
  });
  for (const key of ["private", "scripts", "devDependencies", "allowScripts"])
    expect(published).not.toHaveProperty(key);
});
