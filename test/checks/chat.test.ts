import { describe, expect, it } from "vitest";
import type { Engine } from "../../shared/engine.ts";
import { dummy } from "../harness/app.ts";
import { useSites } from "../harness/sites.ts";
import { chat, type Json, MODEL, readStream } from "../harness/wire.ts";

let calls = 0;
function countingDummy(): Engine {
  const engine = dummy();
  return {
    ...engine,
    respond: (call) => {
      calls++;
      return engine.respond(call);
    },
  };
}

const { sites } = useSites(() => ({ engine: countingDummy() }));

/** Every field of a chat request that OpenAI's schema lets be null, and ours. */
const NULLABLE = [
  "audio",
  "chat_template_kwargs",
  "frequency_penalty",
  "function_call",
  "functions",
  "logit_bias",
  "logprobs",
  "max_completion_tokens",
  "max_tokens",
  "metadata",
  "min_p",
  "modalities",
  "moderation",
  "n",
  "parallel_tool_calls",
  "prediction",
  "presence_penalty",
  "prompt_cache_key",
  "prompt_cache_options",
  "prompt_cache_retention",
  "reasoning_effort",
  "response_format",
  "safety_identifier",
  "seed",
  "service_tier",
  "stop",
  "store",
  "stream",
  "stream_options",
  "temperature",
  "tool_choice",
  "tools",
  "top_k",
  "top_logprobs",
  "top_p",
  "user",
  "verbosity",
  "web_search_options",
];

describe.each(sites)("chat through $name", (site) => {
  it("C1 a plain question gets exactly OpenAI's keys, with usage that sums and the headers SDKs read", async () => {
    const response = await site.post("/chat/completions", chat("one two three"));
    expect(response.status).toBe(200);
    const body = await response.json();
    expect(Object.keys(body).sort()).toEqual(
      ["choices", "created", "id", "model", "object", "service_tier", "system_fingerprint", "usage"].sort(),
    );
    expect(body).toMatchObject({
      object: "chat.completion",
      model: MODEL,
      id: expect.stringMatching(/^chatcmpl-/),
    });
    expect(body.choices).toEqual([
      {
        index: 0,
        message: { role: "assistant", content: "one two three", refusal: null, annotations: [] },
        logprobs: null,
        finish_reason: "stop",
      },
    ]);
    expect(body.usage).toMatchObject({ prompt_tokens: 3, completion_tokens: 3, total_tokens: 6 });
    expect(response.headers.get("x-request-id")).toMatch(/^req_[0-9a-f]{32}$/);
    expect(Number(response.headers.get("openai-processing-ms"))).toBeGreaterThan(0);
    expect(response.headers.get("openai-version")).toBe("2020-10-01");
    expect(response.headers.get("content-type")).toMatch(/^application\/json/);
  });

  it("C2 a field that is null is a field left out", async () => {
    const plain = await (await site.post("/chat/completions", chat("one two", { temperature: 0 }))).json();
    const nulls = Object.fromEntries(NULLABLE.map((field) => [field, null]));
    const body = await (
      await site.post("/chat/completions", chat("one two", { ...nulls, temperature: 0 }))
    ).json();
    const { id, created, ...same } = body;
    expect({ ...plain, id, created }).toEqual({ ...same, id, created });
  });

  const many = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, "v"]));
  it.each([
    ["stop", { stop: ["a", "b", "c", "d", "e"] }],
    ["temperature", { temperature: 2.1 }],
    ["n", { n: 0 }],
    ["n", { n: 129 }],
    ["top_logprobs", { logprobs: true, top_logprobs: 21 }],
    ["top_logprobs", { top_logprobs: 2 }],
    ["logit_bias.5", { logit_bias: { 5: 101 } }],
    ["metadata", { metadata: many(17) }],
    ["messages", { messages: [] }],
    ["messages[0].role", { messages: [{ role: "wizard", content: "x" }] }],
    ["messages[0].content", { messages: [{ role: "user" }] }],
    ["stream_options", { stream_options: { include_usage: true } }],
  ])("C5 a bad %s is refused by name, and the engine is not touched", async (param, more) => {
    const before = calls;
    const response = await site.post("/chat/completions", chat("x", more));
    expect(response.status).toBe(400);
    const { error } = await response.json();
    expect(error).toEqual({
      message: expect.stringContaining(param),
      type: "invalid_request_error",
      param,
      code: expect.stringMatching(/^(invalid_value|invalid_type|missing_required_parameter)$/),
    });
    expect(calls).toBe(before);
  });

  it("C5 what is just within the limits is served", async () => {
    const most = {
      stop: ["a1", "b1", "c1", "d1"],
      temperature: 2,
      logit_bias: { 5: 100, 6: -100 },
      metadata: many(16),
      top_p: 0,
      frequency_penalty: -2,
    };
    expect((await site.post("/chat/completions", chat("x", most))).status).toBe(200);
  });

  it("C9 every role and form of content is accepted, and nothing of it is lost", async () => {
    const messages: Json[] = [
      { role: "developer", content: "d1" },
      {
        role: "user",
        content: [
          { type: "text", text: "u1" },
          { type: "text", text: " u2" },
        ],
        name: "ann",
      },
      {
        role: "assistant",
        content: null,
        tool_calls: [{ id: "call_1", type: "function", function: { name: "f", arguments: "{}" } }],
      },
      { role: "tool", tool_call_id: "call_1", content: [{ type: "text", text: "t1" }] },
      { role: "system", content: "s1" },
      { role: "assistant", content: "a1" },
      {
        role: "user",
        content: [
          { type: "text", text: "last" },
          { type: "text", text: " words" },
        ],
      },
    ];
    const response = await site.post("/chat/completions", { model: MODEL, messages });
    const body = await response.json();
    expect(body.choices?.[0].message.content).toBe("last words");
    // d1, u1 u2, t1, s1, a1, last words: each word of the dummy's prompt is a token.
    expect(body.usage).toMatchObject({ prompt_tokens: 8 });
  });

  it("C10 fields of engines pass, and unknown ones are ignored", async () => {
    const extras = { top_k: 5, min_p: 0.1, chat_template_kwargs: { a: 1 }, cache_prompt: true, foo: 1 };
    expect((await site.post("/chat/completions", chat("x", extras))).status).toBe(200);
  });

  it("the official SDK reads answers, streams and errors", async () => {
    const client = site.client();
    const messages = [{ role: "user" as const, content: "one two" }];
    const answer = await client.chat.completions.create({ model: MODEL, messages });
    expect(answer.choices[0]?.message.content).toBe("one two");
    expect(answer._request_id).toMatch(/^req_/);
    const stream = client.chat.completions.stream({ model: MODEL, messages });
    expect((await stream.finalChatCompletion()).choices[0]?.message.content).toBe("one two");
    const refusal = client.chat.completions.create({ model: MODEL, messages: [] });
    await expect(refusal).rejects.toMatchObject({
      status: 400,
      param: "messages",
      type: "invalid_request_error",
    });
  });
});

describe.each(sites)("streams through $name", (site) => {
  it("S1 come in OpenAI's order: role once, text, one finish, [DONE] last, one id", async () => {
    const response = await site.post("/chat/completions", chat("one two three", { stream: true }));
    expect(response.headers.get("content-type")).toMatch(/^text\/event-stream/);
    expect(response.headers.get("cache-control")).toBe("no-cache");
    expect(response.headers.get("content-length")).toBeNull();
    expect(response.headers.get("content-encoding")).toBeNull();
    expect(response.headers.get("x-request-id")).toMatch(/^req_/);
    const { chunks, isDone, text } = await readStream(response);
    expect(isDone).toBe(true);
    expect(text()).toBe("one two three");
    const choices = chunks.map((chunk) => chunk.choices[0]);
    expect(choices[0]).toEqual({
      index: 0,
      delta: { role: "assistant", content: "", refusal: null },
      logprobs: null,
      finish_reason: null,
    });
    expect(choices.filter(({ delta }) => "role" in delta)).toHaveLength(1);
    expect(choices.map(({ finish_reason }) => finish_reason)).toEqual([null, null, null, null, "stop"]);
    expect(choices.at(-1).delta).toEqual({});
    for (const field of ["id", "created", "model", "object", "system_fingerprint"]) {
      expect(new Set(chunks.map((chunk) => chunk[field])), field).toHaveLength(1);
    }
    expect(chunks[0]).toMatchObject({ model: MODEL, object: "chat.completion.chunk" });
  });

  it("S2 carry usage when asked: null on all chunks, then one chunk without choices", async () => {
    const asked = { stream: true, stream_options: { include_usage: true } };
    const { chunks } = await readStream(await site.post("/chat/completions", chat("one two three", asked)));
    expect(chunks.slice(0, -1).map(({ usage }) => usage)).toEqual(chunks.slice(0, -1).map(() => null));
    expect(chunks.slice(0, -1).every(({ choices }) => choices.length === 1)).toBe(true);
    expect(chunks.at(-1)).toMatchObject({
      choices: [],
      usage: { prompt_tokens: 3, completion_tokens: 3, total_tokens: 6 },
    });
  });

  it.each([[{}], [null], [{ include_usage: false }]])(
    "S2 carry no usage for stream_options %j",
    async (options) => {
      const response = await site.post(
        "/chat/completions",
        chat("one two", { stream: true, stream_options: options }),
      );
      const { chunks, isDone } = await readStream(response);
      expect(isDone).toBe(true);
      expect(chunks.every((chunk) => !("usage" in chunk))).toBe(true);
    },
  );

  it("S3 with n choices carry one usage, equal to that of the answer at once", async () => {
    const whole = await (await site.post("/chat/completions", chat("one two", { n: 2 }))).json();
    const asked = { n: 2, stream: true, stream_options: { include_usage: true } };
    const { chunks } = await readStream(await site.post("/chat/completions", chat("one two", asked)));
    const usages = chunks.filter(({ usage }) => usage !== null);
    expect(usages).toHaveLength(1);
    expect(usages[0].usage).toEqual(whole.usage);
  });
});
