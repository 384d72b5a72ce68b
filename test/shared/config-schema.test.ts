import { readFileSync } from "node:fs";
import { Ajv } from "ajv";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { configJsonSchema, parseConfig } from "../../shared/config.ts";
import { inputSchema, type SchemaNode } from "../../shared/config-paths.ts";

const shared = new URL("../../shared/", import.meta.url);
const REGENERATE =
  "stale; run: node -p 'JSON.stringify(require(\"./shared/config.ts\").configJsonSchema(), null, 2)' > shared/config.schema.json";
const example = readFileSync(new URL("../sluice.example.yaml", shared), "utf8");
/** The example with every setting in force: "#" without a space is a setting. */
const everything: unknown = parse(example.replace(/^(\s*)#(?=[^\s#])/gm, "$1"));
const validate = new Ajv({ strict: false }).compile(configJsonSchema());

function keysOf(schema: SchemaNode): readonly string[] {
  const inner = [schema.items, ...(schema.anyOf ?? [])].flatMap((child) =>
    typeof child === "object" && !Array.isArray(child) ? keysOf(child) : [],
  );
  const own = Object.entries(schema.properties ?? {}).flatMap(([key, child]) =>
    typeof child === "object" ? [key, ...keysOf(child).map((below) => `${key}.${below}`)] : [key],
  );
  return [...own, ...inner];
}

function pathsOf(value: unknown): readonly string[] {
  if (Array.isArray(value)) return value.flatMap(pathsOf);
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, child]) => [
    key,
    ...pathsOf(child).map((below) => `${key}.${below}`),
  ]);
}

function undescribed(schema: SchemaNode): readonly string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([key, child]) =>
    typeof child === "object" && child.description !== undefined ? undescribed(child) : [key],
  );
}

describe("config.schema.json", () => {
  it("is up to date", () => {
    const published: unknown = JSON.parse(readFileSync(new URL("config.schema.json", shared), "utf8"));
    expect(published, REGENERATE).toEqual(configJsonSchema());
  });

  it("describes every key", () => {
    expect(undescribed(inputSchema())).toEqual([]);
  });

  it.each([
    ["nothing", {}],
    [
      "references in place of values",
      { port: `\${PORT}`, engine: `\${E:-auto}`, backends: [{ id: "a", url: `\${U}` }] },
    ],
    [
      "models of both spellings",
      { backends: [{ id: "a", url: "http://x/v1", models: ["m", { id: "n", weight: 2 }] }] },
    ],
    ["everything the example shows", everything],
  ])("accepts %s", (_what, config) => {
    expect(validate(config), JSON.stringify(validate.errors)).toBe(true);
  });

  it.each([
    ["an unknown key", { prot: 1 }],
    ["a port out of range", { port: 99_999 }],
    ["an unknown engine", { engine: "onnx" }],
    ["a model without source", { models: [{ id: "x" }] }],
    [
      "an unknown key of a backend's model",
      { backends: [{ id: "a", url: "http://x/v1", models: [{ id: "x", y: 1 }] }] },
    ],
  ])("refuses %s", (_what, config) => {
    expect(validate(config)).toBe(false);
  });
});

const SECRETS = {
  OPENAI_API_KEY: "k",
  SLUICE_ADMIN_KEY: "an-admin-key-of-a-test",
  WEB_KEY: "sk-slc-a-key-of-a-test",
  WEBHOOK_SECRET: "a-webhook-secret-of-a-test",
};

describe("sluice.example.yaml", () => {
  it("names the schema for editors in its first line", () => {
    expect(example.split("\n")[0]).toBe("# yaml-language-server: $schema=./shared/config.schema.json");
  });

  it("changes nothing as it is", () => {
    expect(parseConfig(parse(example), {})).toEqual(parseConfig(undefined, {}));
  });

  it("is valid with everything in force, and shows every key there is", () => {
    expect(parseConfig(everything, SECRETS).backends).toHaveLength(2);
    const shown = new Set(pathsOf(everything));
    expect(keysOf(inputSchema()).filter((key) => !shown.has(key))).toEqual([]);
  });

  it("shows the defaults where a key has one", () => {
    const {
      models: _models,
      backends: _backends,
      llamaCpp: _llama,
      vllm: _vllm,
      mlx: _mlx,
      llamaServer: _llamaServer,
      loading: _loading,
      downloads: _downloads,
      admin: _admin,
      keys: _keys,
      accounts: _accounts,
      ledger: _ledger,
      webhooks: _webhooks,
      ...rest
    } = parseConfig(everything, SECRETS);
    expect(parseConfig(undefined, {})).toMatchObject(rest);
  });
});
