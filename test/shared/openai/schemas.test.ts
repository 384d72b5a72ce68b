import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { z } from "zod";
import { ApiError } from "../../../shared/openai/errors.ts";
import {
  chatRequest,
  completionRequest,
  embeddingRequest,
  formatPath,
  parseBody,
} from "../../../shared/openai/schemas.ts";

const MESSAGES = [{ role: "user", content: "x" }];
const SCHEMAS = {
  chat: [chatRequest, { model: "m", messages: MESSAGES }],
  completions: [completionRequest, { model: "m", prompt: "x" }],
  embeddings: [embeddingRequest, { model: "m", input: "x" }],
} as const;

function refusalOf(schema: z.ZodObject, body: unknown): ApiError {
  try {
    parseBody(schema, body);
  } catch (error) {
    if (error instanceof ApiError) return error;
    throw error;
  }
  throw new Error(`Accepted: ${JSON.stringify(body)}`);
}

const chat = (more: Record<string, unknown>) => ({ model: "m", messages: MESSAGES, ...more });
const completion = (more: Record<string, unknown>) => ({ model: "m", prompt: "x", ...more });

describe.each(["chat", "completions", "embeddings"] as const)("the schema of %s", (route) => {
  const [schema, body] = SCHEMAS[route];
  const required = Object.keys(body);

  it("reads an explicit null as a field left out", () => {
    for (const name of Object.keys(schema.shape).filter((name) => !required.includes(name))) {
      expect(JSON.stringify(parseBody(schema, { ...body, [name]: null })), name).toBe(JSON.stringify(body));
    }
  });

  it("keeps fields that it does not know, for a backend to read", () => {
    expect(parseBody(schema, { ...body, extra: { a: [1] } })).toMatchObject({ extra: { a: [1] } });
  });

  it("refuses what is missing by its name", () => {
    for (const name of required) {
      const { [name]: _, ...rest } = body as Record<string, unknown>;
      expect(refusalOf(schema, rest)).toMatchObject({
        status: 400,
        code: "missing_required_parameter",
        param: name,
        message: `Missing required parameter: '${name}'.`,
      });
    }
  });

  it("never does anything but accept or refuse with a 400", async () => {
    const names = fc.constantFrom(...Object.keys(schema.shape), "foo", "__proto__", "constructor");
    const bodies = fc.oneof(
      fc.jsonValue(),
      fc.dictionary(names, fc.jsonValue()).map((fields) => ({ ...body, ...fields })),
    );
    fc.assert(
      fc.property(bodies, (value) => {
        try {
          parseBody(schema, value);
        } catch (error) {
          expect(error).toMatchObject({ name: "ApiError", status: 400, type: "invalid_request_error" });
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe("numbers keep to OpenAI's ranges, ends included", () => {
  it.each([
    ["temperature", 0, 2],
    ["top_p", 0, 1],
    ["frequency_penalty", -2, 2],
    ["presence_penalty", -2, 2],
    ["min_p", 0, 1],
  ])("%s from %d to %d", (name, min, max) => {
    for (const value of [min, max])
      expect(parseBody(chatRequest, chat({ [name]: value }))).toHaveProperty(name, value);
    for (const value of [min - 0.001, max + 0.001, "1", true, [1]]) {
      expect(refusalOf(chatRequest, chat({ [name]: value }))).toMatchObject({ param: name });
    }
  });

  it.each([
    ["n", 1, 128, chatRequest, chat],
    [
      "top_logprobs",
      0,
      20,
      chatRequest,
      (more: Record<string, unknown>) => chat({ logprobs: true, ...more }),
    ],
    ["best_of", 0, 20, completionRequest, completion],
    ["logprobs", 0, 5, completionRequest, completion],
  ])("whole %s from %d to %d", (name, min, max, schema: z.ZodObject, body) => {
    for (const value of [min, max])
      expect(parseBody(schema, body({ [name]: value }))).toHaveProperty(name, value);
    for (const value of [min - 1, max + 1, min + 0.5]) {
      expect(refusalOf(schema, body({ [name]: value }))).toMatchObject({ param: name });
    }
  });

  it.each(["max_tokens", "max_completion_tokens"])("whole %s from 0", (name) => {
    expect(parseBody(chatRequest, chat({ [name]: 0 }))).toHaveProperty(name, 0);
    for (const value of [-1, 1.5]) expect(refusalOf(chatRequest, chat({ [name]: value })).param).toBe(name);
  });
});

describe("a refusal names the field as OpenAI writes it", () => {
  const user = (content: unknown) => chat({ messages: [...MESSAGES, { role: "user", content }] });
  it.each([
    ["messages[1].role", chat({ messages: [...MESSAGES, { role: "wizard", content: "x" }] })],
    ["messages[1].role", chat({ messages: [...MESSAGES, { content: "x" }] })],
    ["messages[1].content", user(7)],
    ["messages[1].content", user([])],
    ["messages[1].content[0].text", user([{ type: "text" }])],
    [
      "messages[1].content[1].image_url.url",
      user([
        { type: "text", text: "x" },
        { type: "image_url", image_url: {} },
      ]),
    ],
    ["messages[1].content[0].type", user([{ type: "hologram" }])],
    ["messages[0].tool_call_id", chat({ messages: [{ role: "tool", content: "x" }] })],
    [
      "messages[0].tool_calls[0].function.name",
      chat({
        messages: [
          { role: "assistant", tool_calls: [{ id: "c", type: "function", function: { arguments: "" } }] },
        ],
      }),
    ],
    ["logit_bias.abc", chat({ logit_bias: { abc: 1 } })],
    ["logit_bias.5", chat({ logit_bias: { 5: "1" } })],
    ["metadata.k", chat({ metadata: { k: 7 } })],
    ["stream_options.include_usage", chat({ stream: true, stream_options: { include_usage: "yes" } })],
    ["stream_options", chat({ stream_options: {} })],
    ["stop", chat({ stop: [] })],
    ["stop", chat({ stop: 7 })],
    ["stream", chat({ stream: "true" })],
    ["model", chat({ model: "" })],
  ])("%s", (param, body) => {
    const refusal = refusalOf(chatRequest, body);
    expect(refusal.param).toBe(param);
    expect(refusal.message).toContain(`'${param}'`);
  });

  it("and what was found, but never a prompt", () => {
    expect(refusalOf(chatRequest, chat({ temperature: 3 })).message).toMatch(/found 3\.$/);
    const secret = "my secret diary ".repeat(10);
    expect(refusalOf(chatRequest, chat({ temperature: secret })).message).not.toContain("diary");
    expect(refusalOf(chatRequest, chat({ messages: secret })).message).not.toContain("diary");
  });

  it("whatever keys a path has", () => {
    expect(formatPath(["messages", 0, "content", 1, "text"])).toBe("messages[0].content[1].text");
    expect(formatPath([])).toBe("");
  });
});

describe("a body of many faults is not read on after the first", () => {
  it.each([
    ["messages", chatRequest, (items: unknown) => chat({ messages: items })],
    ["content", chatRequest, (items: unknown) => chat({ messages: [{ role: "user", content: items }] })],
    ["tools", chatRequest, (items: unknown) => chat({ tools: items })],
    ["prompt", completionRequest, (items: unknown) => completion({ prompt: items })],
    ["input", embeddingRequest, (items: unknown) => ({ model: "m", input: items })],
  ])("%s", (_, schema: z.ZodObject, bodyWith) => {
    let reads = 0;
    const items: unknown[] = [{}];
    Object.defineProperty(items, 1, {
      enumerable: true,
      get: () => {
        reads++;
        return {};
      },
    });
    refusalOf(schema, bodyWith(items));
    expect(reads).toBe(0);
  });

  it.each([
    ["logit_bias", "x", 1],
    ["logit_bias", "1", 101],
    ["metadata", "x", 1],
  ])("%s", (name, key, bad) => {
    let reads = 0;
    const entries: Record<string, unknown> = {};
    Object.defineProperties(entries, {
      [key]: { enumerable: true, value: bad },
      z: { enumerable: true, get: () => reads++ },
    });
    expect(refusalOf(chatRequest, chat({ [name]: entries })).param).toBe(`${name}.${key}`);
    expect(reads).toBe(0);
  });
});

describe("messages take every role and content that OpenAI has", () => {
  it.each([
    [{ role: "developer", content: "x" }],
    [{ role: "system", content: "x", name: "n" }],
    [
      {
        role: "user",
        content: [{ type: "image_url", image_url: { url: "https://a/b.png", detail: "low" } }],
      },
    ],
    [{ role: "user", content: [{ type: "input_audio", input_audio: { data: "AA==", format: "wav" } }] }],
    [{ role: "user", content: [{ type: "file", file: { file_id: "file-1" } }] }],
    [{ role: "assistant", content: null }],
    [{ role: "assistant" }],
    [{ role: "assistant", content: [{ type: "refusal", refusal: "no" }], refusal: "no" }],
    [{ role: "assistant", content: "x", reasoning_content: "hm" }],
    [{ role: "tool", tool_call_id: "c", content: [{ type: "text", text: "x" }] }],
    [{ role: "function", name: "f", content: null }],
  ])("%j", (message) => {
    expect(
      JSON.parse(JSON.stringify(parseBody(chatRequest, chat({ messages: [message] })).messages)),
    ).toEqual([Object.fromEntries(Object.entries(message).filter(([, value]) => value !== null))]);
  });
});

describe("prompts and inputs take all four forms", () => {
  it.each(["x", ["x", "y"], [1, 2], [[1], [2, 3]]])("%j", (value) => {
    expect(parseBody(completionRequest, completion({ prompt: value })).prompt).toEqual(value);
    expect(parseBody(embeddingRequest, { model: "m", input: value }).input).toEqual(value);
  });

  it.each([[[]], [[1, "x"]], [[[]]], [[-1]], [[1.5]], [{}], [7]])("but not %j", (value) => {
    expect(refusalOf(completionRequest, completion({ prompt: value })).param).toMatch(/^prompt/);
    expect(refusalOf(embeddingRequest, { model: "m", input: value }).param).toMatch(/^input/);
  });
});
