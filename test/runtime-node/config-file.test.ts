import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { edgeConfigJson, readConfig } from "../../runtime-node/config-file.ts";
import { ConfigError, parseConfig } from "../../shared/config.ts";

const home = process.cwd();
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-config-"));
  process.chdir(directory);
});

afterEach(() => {
  process.chdir(home);
  rmSync(directory, { recursive: true });
});

function write(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

async function errorOf(attempt: Promise<unknown>): Promise<ConfigError> {
  const error = await attempt.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof ConfigError)) throw new Error(`expected a ConfigError, got ${error}`);
  return error;
}

describe("which file is read", () => {
  it("none where there is none: the defaults hold", async () => {
    expect(await readConfig({ env: {} })).toEqual({ config: parseConfig(undefined, {}) });
  });

  it("sluice.yaml in the working directory", async () => {
    write("sluice.yaml", "port: 1001\n");
    expect(await readConfig({ env: {} })).toMatchObject({ path: "sluice.yaml", config: { port: 1001 } });
  });

  it("the one that SLUICE_CONFIG names, before sluice.yaml", async () => {
    write("sluice.yaml", "port: 1001\n");
    const path = write("other.yaml", "port: 1002\n");
    expect(await readConfig({ env: { SLUICE_CONFIG: path } })).toMatchObject({
      path,
      config: { port: 1002 },
    });
  });

  it("the one that --config names, before both", async () => {
    write("sluice.yaml", "port: 1001\n");
    const env = { SLUICE_CONFIG: write("other.yaml", "port: 1002\n") };
    const path = write("named.yaml", "port: 1003\n");
    expect(await readConfig({ path, env })).toMatchObject({ path, config: { port: 1003 } });
  });

  it("may be empty", async () => {
    write("sluice.yaml", "# nothing yet\n");
    expect((await readConfig({ env: {} })).config).toEqual(parseConfig(undefined, {}));
  });

  it("must be there when it is named", async () => {
    const error = await errorOf(readConfig({ path: "gone.yaml", env: {} }));
    expect(error.message).toMatch(
      /`gone\.yaml` can't be read \(ENOENT.*\); name a file with --config or SLUICE_CONFIG/,
    );
  });
});

describe("what the command line says", () => {
  it("wins over the environment, which wins over the file", async () => {
    write("sluice.yaml", "host: 10.0.0.1\nport: 1001\nengine: llama_cpp\n");
    const env = { PORT: "1002", INFERENCE_ENGINE: "dummy" };
    const { config } = await readConfig({ env, overrides: { port: "1003", model: "demo" } });
    expect(config).toMatchObject({ host: "10.0.0.1", port: 1003, engine: "dummy" });
  });
});

describe("a file that is wrong", () => {
  it("is refused with line and column where it is no YAML", async () => {
    write("sluice.yaml", "port: 1001\nlog: {level: info\nhost: [\n");
    const error = await errorOf(readConfig({ env: {} }));
    expect(error.message).toMatch(/sluice\.yaml:\d:\d+: no valid YAML: /);
  });

  it("is refused where an alias leads nowhere", async () => {
    write("sluice.yaml", "host: *nowhere\n");
    expect((await errorOf(readConfig({ env: {} }))).message).toMatch(/sluice\.yaml.*no valid YAML: /);
  });

  it("is refused with line and column of every bad value", async () => {
    write(
      "sluice.yaml",
      "port: 99999\nlimits:\n  drainMs: soon\nbackends:\n  - id: a\n    url: nowhere\n  - id: b\n    urn: x\n",
    );
    const error = await errorOf(readConfig({ env: { HOST: "a b", SLUICE_CORS_ORIGINS: "x" } }));
    expect(error.message.split("\n").slice(1).toSorted()).toEqual([
      expect.stringMatching(/^ {2}`cors\.origins\[0\]` is "x" \(set by SLUICE_CORS_ORIGINS\)/),
      expect.stringMatching(/^ {2}`host` is "a b" \(set by HOST\)/),
      expect.stringMatching(/^ {2}sluice\.yaml:1:1: `port` is 99999;/),
      expect.stringMatching(/^ {2}sluice\.yaml:3:3: `limits\.drainMs` is "soon";/),
      expect.stringMatching(/^ {2}sluice\.yaml:6:5: `backends\[0\]\.url` is "nowhere";/),
      expect.stringMatching(/^ {2}sluice\.yaml:7:5: `backends\[1\]\.url` is missing;/),
      expect.stringMatching(
        /^ {2}sluice\.yaml:8:5: `backends\[1\]\.urn` \("x"\) is not a setting; did you mean url\?/,
      ),
    ]);
  });
});

describe("the configuration for the edge", () => {
  it("keeps references, so that no secret is in it, and reads the same at the other end", async () => {
    write(
      "sluice.yaml",
      `backends:\n  - id: a\n    url: https://\${HOST_A}/v1\n    apiKey: \${KEY}\nport: \${API_PORT}\n`,
    );
    const json = await edgeConfigJson(undefined, { KEY: "s3cret", PORT: "1" });
    expect(json).not.toContain("s3cret");
    const bindings = { HOST_A: "a.example", KEY: "s3cret", API_PORT: "81" };
    const config = parseConfig(JSON.parse(json), bindings);
    expect(config.port).toBe(81);
    expect(config.backends[0]).toMatchObject({ url: "https://a.example/v1", apiKey: "s3cret" });
  });

  it("is empty without a file", async () => {
    expect(await edgeConfigJson(undefined, {})).toBe("{}");
  });

  it("is refused for what no binding can put right", async () => {
    write(
      "sluice.yaml",
      `port: 99999\nbackends:\n  - id: a\n    url: \${URL_A}\n    apiKey: \${not a name}\n`,
    );
    const error = await errorOf(edgeConfigJson(undefined, {}));
    expect(error.problems.map((problem) => problem.path).toSorted()).toEqual(["backends[0].apiKey", "port"]);
  });
});
