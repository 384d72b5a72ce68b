import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { testApp } from "../harness/app.ts";
import { SCHEMAS_PATH } from "../harness/oracle.ts";
import { type Json, MODEL } from "../harness/wire.ts";

const app = testApp({ config: { strict: true } });
const BODIES = {
  "/v1/chat/completions": { model: MODEL, messages: [{ role: "user", content: "x" }] },
  "/v1/completions": { model: MODEL, prompt: "x" },
  "/v1/embeddings": { model: MODEL, input: "x" },
};
const SCHEMAS = {
  "/v1/chat/completions": "CreateChatCompletionRequest",
  "/v1/completions": "CreateCompletionRequest",
  "/v1/embeddings": "CreateEmbeddingRequest",
} as const;
const PATHS = ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"] as const;

/** The names of a schema's properties, those of what it is composed of included. */
function propertyNames(schema: Json, all: Json): readonly string[] {
  if (schema.$ref !== undefined) return propertyNames(all[schema.$ref.split("/").at(-1)], all);
  const parts = [...(schema.allOf ?? []), ...(schema.anyOf ?? [])];
  return [...Object.keys(schema.properties ?? {}), ...parts.flatMap((part) => propertyNames(part, all))];
}

describe.each(PATHS)("C10 in strict mode %s", (path) => {
  it("refuses a field that nobody knows, by its name", async () => {
    const response = await app.post(path, { ...BODIES[path], foo: 1 });
    expect(response.status).toBe(400);
    expect((await response.json()).error).toEqual({
      message: "Unrecognized request argument supplied: foo",
      type: "invalid_request_error",
      param: "foo",
      code: null,
    });
    expect((await app.post(path, { ...BODIES[path], constructor: 1 })).status).toBe(400);
  });

  it("takes every field that OpenAI has", async () => {
    if (!existsSync(SCHEMAS_PATH)) return console.log(`not run: OpenAI's schemas are not at ${SCHEMAS_PATH}`);
    const { schemas } = JSON.parse(readFileSync(SCHEMAS_PATH, "utf8")).components;
    const names = propertyNames(schemas[SCHEMAS[path]], schemas);
    expect(names).toContain("model");
    const nulls = Object.fromEntries(names.map((name) => [name, null]));
    expect((await app.post(path, { ...nulls, ...BODIES[path] })).status).toBe(200);
  });

  it("answers a plain request", async () => {
    expect((await app.post(path, BODIES[path])).status).toBe(200);
  });
});

it("C10 in strict mode the extras of our engines pass", async () => {
  const extras = { top_k: 5, min_p: 0.1, chat_template_kwargs: { thinking: false } };
  const response = await app.post("/v1/chat/completions", { ...BODIES["/v1/chat/completions"], ...extras });
  expect(response.status).toBe(200);
});
