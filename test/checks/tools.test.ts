import { Ajv } from "ajv";
import { describe, expect, it } from "vitest";
import { demoHost } from "../harness/demo-engine.ts";
import { type Site, useSites } from "../harness/sites.ts";
import { chat, type Json, MODEL, readStream } from "../harness/wire.ts";

const { sites } = useSites(() => demoHost());

/** The demo model calls a tool like this by itself. */
const WEATHER = {
  name: "get_weather",
  parameters: {
    type: "object",
    properties: { city: { type: "string" } },
    required: ["city"],
    additionalProperties: false,
  },
};
/** It has never seen such a tool: only a grammar can make it write these arguments. */
const TRIP = {
  name: "plan_trip",
  parameters: {
    type: "object",
    properties: {
      means: { enum: ["train", "boat"] },
      days: { type: "integer", minimum: 2, maximum: 9 },
      stops: { type: "array", items: { enum: ["Rome", "Oslo"] }, minItems: 1, maxItems: 2 },
      isReturn: { type: "boolean" },
    },
    required: ["means", "days", "stops"],
    additionalProperties: false,
  },
};
const SCHEMAS: Readonly<Record<string, object>> = {
  [WEATHER.name]: WEATHER.parameters,
  [TRIP.name]: TRIP.parameters,
};
const TOOLS = [WEATHER, TRIP].map((tool) => ({ type: "function", function: tool }));
const named = (name: string) => ({ type: "function", function: { name } });
const allowed = (mode: string, ...names: readonly string[]) => ({
  type: "allowed_tools",
  allowed_tools: { mode, tools: names.map(named) },
});

const PARIS = "What is the weather in Paris?";
const TWO_CITIES = "What is the weather in Paris and London?";
/** A call has about 20 tokens. */
const GREEDY = { temperature: 0, max_tokens: 120 };

const ajv = new Ajv();

/** The function is one of ours, and its arguments are JSON that its schema takes. */
function expectLegal({ name, arguments: text }: Json): void {
  const parsed: unknown = JSON.parse(text);
  expect(ajv.validate(SCHEMAS[name] ?? expect.unreachable(`${name} is no tool`), parsed), text).toBe(true);
}

async function ask(site: Site, question: string, more: Record<string, unknown>): Promise<Json> {
  const response = await site.post("/chat/completions", chat(question, { ...GREEDY, ...more }));
  expect(response.status).toBe(200);
  return (await response.json()).choices[0];
}

async function streamed(site: Site, question: string, more: Record<string, unknown>) {
  const body = chat(question, { ...GREEDY, stream: true, ...more });
  return readStream(await site.post("/chat/completions", body));
}

/** The message that deltas add up to; rejects deltas that OpenAI would not send. */
function joinedCalls(chunks: readonly Json[]): readonly Json[] {
  const calls: Json[] = [];
  for (const { delta } of chunks.flatMap(({ choices }) => choices)) {
    for (const piece of delta.tool_calls ?? []) {
      const { index, ...rest } = piece;
      if (index === calls.length) {
        expect(rest).toEqual({
          id: expect.stringMatching(/^call_\w{8,}$/),
          type: "function",
          function: { name: expect.any(String), arguments: "" },
        });
        calls.push(structuredClone(rest));
        continue;
      }
      expect(index, "only the call that was begun last goes on").toBe(calls.length - 1);
      expect(rest).toEqual({ function: { arguments: expect.any(String) } });
      calls[index].function.arguments += rest.function.arguments;
    }
  }
  return calls;
}

describe.each(sites)("tools through $name", (site) => {
  it.each([
    { how: "its name", choice: named("plan_trip"), called: "plan_trip" },
    { how: "required", choice: "required", called: "get_weather" },
    { how: "allowed_tools", choice: allowed("required", "plan_trip"), called: "plan_trip" },
  ])(
    "T1 a tool forced by $how is called once, with arguments that fit its schema",
    async ({ choice, called }) => {
      const { message, finish_reason } = await ask(site, PARIS, {
        tools: TOOLS,
        tool_choice: choice,
        parallel_tool_calls: false,
      });
      expect(finish_reason).toBe("tool_calls");
      expect(message).toEqual({
        role: "assistant",
        content: null,
        refusal: null,
        annotations: [],
        tool_calls: [
          {
            id: expect.stringMatching(/^call_\w{8,}$/),
            type: "function",
            function: { name: called, arguments: expect.any(String) },
          },
        ],
      });
      expectLegal(message.tool_calls[0].function);
    },
  );

  it("T1 forced calls stay legal at a high temperature, for every seed", async () => {
    const forced = { tools: TOOLS, tool_choice: named("plan_trip"), temperature: 1.5, n: 4 };
    for (const seed of [1, 2]) {
      const body = chat(PARIS, { ...GREEDY, ...forced, seed });
      const { choices }: Json = await (await site.post("/chat/completions", body)).json();
      for (const { message, finish_reason } of choices) {
        expect(finish_reason).toBe("tool_calls");
        expect(message.tool_calls).toHaveLength(1);
        expectLegal(message.tool_calls[0].function);
      }
    }
  });

  it("T1 a tool that is not there can't be chosen", async () => {
    for (const [choice, param] of [
      [named("nobody"), "tool_choice.function.name"],
      [allowed("auto", "nobody"), "tool_choice.allowed_tools.tools[0].function.name"],
    ]) {
      const response = await site.post(
        "/chat/completions",
        chat(PARIS, { tools: TOOLS, tool_choice: choice }),
      );
      expect(response.status).toBe(400);
      expect((await response.json()).error).toEqual({
        message: expect.stringContaining("nobody"),
        type: "invalid_request_error",
        param,
        code: "invalid_value",
      });
    }
  });

  it("T1 a forced tool whose schema no grammar can hold is refused by keyword", async () => {
    const parameters = { type: "object", properties: { to: { type: "array", uniqueItems: true } } };
    const tools = [{ type: "function", function: { name: "post", parameters } }];
    const response = await site.post("/chat/completions", chat(PARIS, { tools, tool_choice: "required" }));
    expect(response.status).toBe(400);
    expect((await response.json()).error).toEqual({
      message: expect.stringMatching(/'post'.*`uniqueItems` at `#\/properties\/to\/uniqueItems`/),
      type: "invalid_request_error",
      param: "tools[0].function.parameters",
      code: null,
    });
  });

  it("T2 a forced call cut by max_tokens finishes with length, whole or in part but never empty", async () => {
    for (const max_tokens of [1, 3, 12, 18]) {
      const forced = { tools: TOOLS, tool_choice: "required", max_tokens };
      const { message, finish_reason } = await ask(site, PARIS, forced);
      expect(finish_reason).toBe("length");
      if ("tool_calls" in message) expect(message.tool_calls).toHaveLength(1);
      else expect(message.content).toBe("");
      const stream = await streamed(site, PARIS, forced);
      expect([stream.finish(), stream.isDone]).toEqual(["length", true]);
      const calls = joinedCalls(stream.chunks);
      expect(calls.map((call) => call.function)).toEqual(
        (message.tool_calls ?? []).map((call: Json) => call.function),
      );
    }
  });

  it("T3 parallel calls stream in order: id, type and name once, then pieces of the arguments", async () => {
    const { chunks, finish, isDone, text } = await streamed(site, TWO_CITIES, { tools: TOOLS });
    expect([finish(), isDone, text()]).toEqual(["tool_calls", true, ""]);
    const calls = joinedCalls(chunks);
    expect(calls.map((call) => [call.function.name, JSON.parse(call.function.arguments)])).toEqual([
      ["get_weather", { city: "Paris" }],
      ["get_weather", { city: "London" }],
    ]);
    expect(new Set(calls.map(({ id }) => id)).size).toBe(2);
    const [first] = chunks;
    expect(first.choices[0].delta).toMatchObject({
      role: "assistant",
      content: null,
      tool_calls: [{ index: 0 }],
    });
    expect(chunks.filter(({ choices }) => "role" in choices[0].delta)).toHaveLength(1);
    const pieces = chunks.filter(({ choices }) => "tool_calls" in choices[0].delta);
    expect(pieces.length, "arguments come as they are made").toBeGreaterThan(6);
  });

  it("T3 streamed calls are those of the answer at once, and so is their usage", async () => {
    const whole: Json = await (
      await site.post("/chat/completions", chat(TWO_CITIES, { ...GREEDY, tools: TOOLS }))
    ).json();
    const { chunks } = await streamed(site, TWO_CITIES, {
      tools: TOOLS,
      stream_options: { include_usage: true },
    });
    expect(joinedCalls(chunks).map((call) => call.function)).toEqual(
      whole.choices[0].message.tool_calls.map((call: Json) => call.function),
    );
    const { completion_tokens, prompt_tokens } = whole.usage;
    expect(chunks.at(-1).usage).toMatchObject({ completion_tokens, prompt_tokens });
  });

  it("T4 without parallel_tool_calls there is one call at most", async () => {
    for (const tool_choice of ["auto", "required"]) {
      const single = { tools: TOOLS, tool_choice, parallel_tool_calls: false };
      const { message, finish_reason } = await ask(site, TWO_CITIES, single);
      expect([message.tool_calls.length, finish_reason]).toEqual([1, "tool_calls"]);
      expectLegal(message.tool_calls[0].function);
      expect(joinedCalls((await streamed(site, TWO_CITIES, single)).chunks)).toHaveLength(1);
    }
  });

  it("T4 tool_choice none gives text", async () => {
    const { message, finish_reason } = await ask(site, PARIS, { tools: TOOLS, tool_choice: "none" });
    expect(finish_reason).toBe("stop");
    expect(message.content).toMatch(/\w/);
    expect(message).not.toHaveProperty("tool_calls");
  });

  it("T4 an empty list of tools is none", async () => {
    const { message } = await ask(site, PARIS, { tools: [] });
    expect(message.content).toMatch(/\w/);
    expect(message).not.toHaveProperty("tool_calls");
  });

  const turn = (result: Json): Json => ({
    model: MODEL,
    ...GREEDY,
    tools: TOOLS,
    messages: [
      { role: "user", content: PARIS },
      {
        role: "assistant",
        content: null,
        tool_calls: [
          {
            id: "call_1",
            type: "function",
            function: { name: "get_weather", arguments: '{"city": "Paris"}' },
          },
        ],
      },
      ...result,
    ],
  });

  it("T5 the answer after a tool's result has the result in it, as text or in parts", async () => {
    const text = "21 degrees and sunny";
    const parts = [{ type: "text", text }];
    for (const content of [text, parts]) {
      const body = turn([{ role: "tool", tool_call_id: "call_1", content }]);
      const response = await site.post("/chat/completions", body);
      expect(response.status).toBe(200);
      const [{ message, finish_reason }] = (await response.json()).choices;
      expect(finish_reason).toBe("stop");
      expect(message.content).toContain(text);
    }
  });

  it.each([
    {
      what: "a result of a call that nobody made",
      result: [{ role: "tool", tool_call_id: "call_2", content: "21" }],
      param: "messages[2].tool_call_id",
      says: "call_2",
    },
    {
      what: "a call without its result",
      result: [{ role: "user", content: "And?" }],
      param: "messages[1].tool_calls",
      says: "call_1",
    },
    { what: "a call at the very end", result: [], param: "messages[1].tool_calls", says: "call_1" },
  ])("T5 $what is refused by its place", async ({ result, param, says }) => {
    const response = await site.post("/chat/completions", turn(result));
    expect(response.status).toBe(400);
    expect((await response.json()).error).toEqual({
      message: expect.stringContaining(says),
      type: "invalid_request_error",
      param,
      code: null,
    });
  });

  it.each([
    { how: "by the model", more: {}, called: "get_weather" },
    { how: "by name", more: { function_call: { name: "plan_trip" } }, called: "plan_trip" },
  ])("T6 functions chosen $how answer with function_call, at once and streamed", async ({ more, called }) => {
    const asked = { functions: [WEATHER, TRIP], ...more };
    const { message, finish_reason } = await ask(site, PARIS, asked);
    expect(finish_reason).toBe("function_call");
    expect(message).toMatchObject({ content: null, function_call: { name: called } });
    expect(message).not.toHaveProperty("tool_calls");
    expectLegal(message.function_call);
    const { chunks, finish } = await streamed(site, PARIS, asked);
    expect(finish()).toBe("function_call");
    const [first, ...rest] = chunks
      .map(({ choices }) => choices[0].delta.function_call)
      .filter((piece) => piece !== undefined);
    expect(first).toEqual({ name: called, arguments: "" });
    expect(rest.map((piece) => piece.arguments).join("")).toBe(message.function_call.arguments);
  });

  it("T6 function_call none gives text, and a function's result is read", async () => {
    const functions = [WEATHER];
    const { message } = await ask(site, PARIS, { functions, function_call: "none" });
    expect(message.content).toMatch(/\w/);
    const response = await site.post("/chat/completions", {
      model: MODEL,
      ...GREEDY,
      functions,
      messages: [
        { role: "user", content: PARIS },
        {
          role: "assistant",
          content: null,
          function_call: { name: "get_weather", arguments: '{"city": "Paris"}' },
        },
        { role: "function", name: "get_weather", content: "sunny, 21°C" },
      ],
    });
    expect(response.status).toBe(200);
    expect((await response.json()).choices[0].message.content).toContain("21°C");
  });
});
