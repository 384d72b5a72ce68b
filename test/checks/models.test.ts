import { describe, expect, it } from "vitest";
import { useSites } from "../harness/sites.ts";
import { chat } from "../harness/wire.ts";

const ID = "org/family/model-7b";
const { sites } = useSites(() => ({ config: { models: [{ source: "demo" }, { id: ID, source: "demo" }] } }));

describe.each(sites)("models through $name", (site) => {
  it("M1 are listed as OpenAI lists them", async () => {
    const body = await (await site.get("/v1/models")).json();
    expect(body.object).toBe("list");
    expect(body.data.map(({ id }: { id: string }) => id)).toEqual(["sluice-demo", ID]);
    expect(body.data[0]).toMatchObject({
      object: "model",
      created: expect.any(Number),
      owned_by: expect.any(String),
    });
    expect(body.data[0].max_model_len).toBeGreaterThan(0);
  });

  it.each([ID, encodeURIComponent(ID)])("M1 are found by id, slashes and all: %s", async (path) => {
    const response = await site.get(`/v1/models/${path}`);
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ id: ID, object: "model" });
  });

  it("M1 are found by the SDK, which encodes the id", async () => {
    expect(await site.client().models.retrieve(ID)).toMatchObject({ id: ID });
    const page = await site.client().models.list();
    expect(page.data.map(({ id }) => id)).toContain(ID);
  });

  it.each([
    ["GET", "/v1/models/unknown", 404, { code: "model_not_found", param: "model" }],
    ["DELETE", "/v1/models/sluice-demo", 403, { type: "permission_error" }],
  ])("M1 %s %s is refused in OpenAI's form", async (method, path, status, error) => {
    const response = await site.get(path, { method });
    expect(response.status).toBe(status);
    expect((await response.json()).error).toMatchObject(error);
  });

  it("M1 that are unknown are refused by every route", async () => {
    const refused = await site.post("/chat/completions", chat("x", { model: "unknown" }));
    expect(refused.status).toBe(404);
    expect((await refused.json()).error).toMatchObject({
      message: expect.stringContaining("unknown"),
      type: "invalid_request_error",
      param: "model",
      code: "model_not_found",
    });
  });

  it("M1 answer without the /v1 too, which clients forget", async () => {
    expect((await site.get("/models")).status).toBe(200);
    expect(await (await site.get(`/models/${ID}`)).json()).toMatchObject({ id: ID });
  });
});
