import { Ajv } from "ajv";
import { LengthFinishReasonError } from "openai/core/error";
import { zodResponseFormat } from "openai/helpers/zod";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { demoHost } from "../harness/demo-engine.ts";
import { type Site, useSites } from "../harness/sites.ts";
import { chat, type Json, MODEL, readStream } from "../harness/wire.ts";

const { sites } = useSites(() => demoHost());

/** The demo model repeats it, in whatever order of keys a grammar wants. */
const REPEAT = 'Repeat: {"city": "Paris", "temp": 21}';
const GREEDY = { temperature: 0, max_tokens: 120 };

const Weather = z.object({ city: z.string().max(12), temp: z.int().min(-40).max(60) });
/** Only a grammar can make the demo model write this. */
const Trip = z.object({
  means: z.enum(["train", "boat"]),
  legs: z
    .array(z.object({ to: z.enum(["Rome", "Oslo"]), day: z.iso.date() }))
    .min(1)
    .max(2),
  note: z.string().max(8).nullable(),
});

const ajv = new Ajv();
const schemaFormat = (schema: unknown) => ({
  type: "json_schema",
  json_schema: { name: "answer", strict: true, schema },
});

async function ask(site: Site, question: string, more: Record<string, unknown>): Promise<Json> {
  const response = await site.post("/chat/completions", chat(question, { ...GREEDY, ...more }));
  expect(response.status).toBe(200);
  return (await response.json()).choices[0];
}

async function refusal(site: Site, response_format: unknown): Promise<Json> {
  const response = await site.post("/chat/completions", chat("Hello", { ...GREEDY, response_format }));
  expect(response.status).toBe(400);
  return (await response.json()).error;
}

describe.each(sites)("structured output through $name", (site) => {
  it("F2 json_object gives an object, at once and streamed", async () => {
    const asked = { response_format: { type: "json_object" } };
    const { message, finish_reason } = await ask(site, REPEAT, asked);
    expect(finish_reason).toBe("stop");
    expect(JSON.parse(message.content)).toEqual({ city: "Paris", temp: 21 });
    const body = chat(REPEAT, { ...GREEDY, ...asked, stream: true });
    const stream = await readStream(await site.post("/chat/completions", body));
    expect([stream.text(), stream.finish()]).toEqual([message.content, "stop"]);
  });

  it("F2 text is the default", async () => {
    const plain = await ask(site, REPEAT, {});
    expect((await ask(site, REPEAT, { response_format: { type: "text" } })).message).toEqual(plain.message);
  });

  it("F2 json_schema is held to at a high temperature, for every choice", async () => {
    const schema = {
      type: "object",
      properties: {
        kind: { const: "report" },
        level: { type: "integer", minimum: 1, maximum: 12 },
        tags: { type: "array", items: { type: "string", pattern: "^[a-z]{2,4}$" }, maxItems: 3 },
        by: { anyOf: [{ type: "null" }, { $ref: "#/$defs/person" }] },
      },
      required: ["kind", "level", "tags"],
      additionalProperties: false,
      $defs: {
        person: {
          type: "object",
          properties: { name: { type: "string", maxLength: 6 } },
          required: ["name"],
          additionalProperties: false,
        },
      },
    };
    const asked = { response_format: schemaFormat(schema), temperature: 1.5, seed: 3, n: 4 };
    const response = await site.post("/chat/completions", chat("Hello", { ...GREEDY, ...asked }));
    for (const { message, finish_reason } of (await response.json()).choices) {
      expect(finish_reason).toBe("stop");
      expect(ajv.validate(schema, JSON.parse(message.content)), message.content).toBe(true);
    }
  });

  it("F2 a schema that is none is refused", async () => {
    const bad = { type: "object", properties: { a: { type: "strin" } } };
    expect(await refusal(site, schemaFormat(bad))).toEqual({
      message: expect.stringMatching(/`type` at `#\/properties\/a\/type`.*"strin"/),
      type: "invalid_request_error",
      param: "response_format",
      code: null,
    });
    expect(await refusal(site, schemaFormat("an object"))).toMatchObject({
      param: "response_format.json_schema.schema",
      type: "invalid_request_error",
    });
    expect(await refusal(site, { type: "json_schema" })).toMatchObject({
      param: "response_format.json_schema",
      type: "invalid_request_error",
    });
  });

  it("F2 a keyword that no grammar can hold is named with its path", async () => {
    const schema = {
      type: "object",
      properties: { list: { type: "array", items: { type: "integer" }, uniqueItems: true } },
    };
    expect(await refusal(site, schemaFormat(schema))).toEqual({
      message: expect.stringContaining("`uniqueItems` at `#/properties/list/uniqueItems`"),
      type: "invalid_request_error",
      param: "response_format",
      code: null,
    });
  });

  it("F2 a type that nobody knows is refused", async () => {
    expect(await refusal(site, { type: "sound" })).toEqual({
      message: expect.stringContaining('"sound"'),
      type: "invalid_request_error",
      param: "response_format.type",
      code: "invalid_value",
    });
  });

  const messages = [{ role: "user" as const, content: REPEAT }];
  const asking = { model: MODEL, messages, ...GREEDY };

  it("F3 parse() gives what zod declares", async () => {
    const format = zodResponseFormat(Weather, "weather");
    const { choices } = await site.client().chat.completions.parse({ ...asking, response_format: format });
    expect(choices[0]?.message.parsed).toEqual({ city: "Paris", temp: 21 });
    const trip = await site
      .client()
      .chat.completions.parse({ ...asking, response_format: zodResponseFormat(Trip, "trip") });
    const parsed = trip.choices[0]?.message.parsed;
    expect(Trip.parse(parsed)).toEqual(parsed);
  });

  it("F3 stream() parses as the text comes, and gives the same in the end", async () => {
    const format = zodResponseFormat(Weather, "weather");
    const stream = site.client().chat.completions.stream({ ...asking, response_format: format });
    const snapshots: unknown[] = [];
    stream.on("content.delta", ({ parsed }) => void snapshots.push(parsed));
    const { choices } = await stream.finalChatCompletion();
    expect(choices[0]?.message.parsed).toEqual({ city: "Paris", temp: 21 });
    expect(snapshots).toContainEqual({ city: "Paris" });
  });

  it("F3 an answer cut by its limit is LengthFinishReasonError", async () => {
    const format = zodResponseFormat(Weather, "weather");
    const cut = { ...asking, max_tokens: 4, response_format: format };
    await expect(site.client().chat.completions.parse(cut)).rejects.toBeInstanceOf(LengthFinishReasonError);
    const stream = site.client().chat.completions.stream(cut);
    await expect(stream.finalChatCompletion()).rejects.toBeInstanceOf(LengthFinishReasonError);
  });
});
