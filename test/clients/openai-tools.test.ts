import { zodFunction } from "openai/helpers/zod";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { demoHost } from "../harness/demo-engine.ts";
import { useSites } from "../harness/sites.ts";
import { MODEL, stayOnLoopback } from "./servers.ts";

stayOnLoopback();

const { sites } = useSites(() => demoHost());

/** A tool as a user writes it; `asked` has the cities that it was called with. */
function weatherTool() {
  const asked: string[] = [];
  const tool = zodFunction({
    name: "get_weather",
    description: "The weather in a city",
    parameters: z.object({ city: z.string() }),
    function: ({ city }) => {
      asked.push(city);
      return { temp: 21 };
    },
  });
  return { asked, tool };
}

const asking = (content: string) => ({
  model: MODEL,
  messages: [{ role: "user" as const, content }],
  temperature: 0,
  max_completion_tokens: 200,
});

const PARIS = "What is the weather in Paris?";
const TWO_CITIES = "What is the weather in Paris and London?";
const QUESTIONS = [
  { language: "English", question: PARIS, city: "Paris" },
  { language: "Chinese", question: "北京天气怎么样？", city: "北京" },
];

describe.each(sites)("openai's tools on the demo model through $name", (site) => {
  const chat = () => site.client().chat.completions;

  it.each(QUESTIONS)(
    "runTools calls get_weather with the city of a question in $language",
    async ({ question, city }) => {
      const { asked, tool } = weatherTool();
      const runner = chat().runTools({ ...asking(question), tools: [tool] });
      const answer = await runner.finalContent();
      expect(asked).toEqual([city]);
      expect(answer).toContain(city);
      expect(answer).toContain("21");
      expect(runner.messages.map(({ role }) => role)).toEqual(["user", "assistant", "tool", "assistant"]);
      expect(await runner.finalFunctionToolCall()).toMatchObject({ name: "get_weather" });
    },
  );

  it.each(QUESTIONS)(
    "streaming runTools does the same for a question in $language",
    async ({ question, city }) => {
      const { asked, tool } = weatherTool();
      const runner = chat().runTools({
        ...asking(question),
        tools: [tool],
        stream: true,
        stream_options: { include_usage: true },
      });
      const called: string[] = [];
      const results: string[] = [];
      runner.on("functionToolCall", ({ name }) => void called.push(name));
      runner.on("functionToolCallResult", (result) => void results.push(result));
      const answer = await runner.finalContent();
      expect([asked, called, results]).toEqual([[city], ["get_weather"], ['{"temp":21}']]);
      expect(answer).toContain("21");
      expect((await runner.totalUsage()).completion_tokens).toBeGreaterThan(20);
    },
  );

  it("runTools calls it once a city, and answers every call", async () => {
    const { asked, tool } = weatherTool();
    const runner = chat().runTools({ ...asking(TWO_CITIES), tools: [tool] });
    await runner.done();
    expect(asked).toEqual(["Paris", "London"]);
    expect(runner.messages.filter(({ role }) => role === "tool")).toHaveLength(2);
  });

  it("parse() gives the arguments as zod declares them", async () => {
    const { tool } = weatherTool();
    const { choices } = await chat().parse({ ...asking(PARIS), tools: [tool] });
    expect(choices[0]?.finish_reason).toBe("tool_calls");
    expect(choices[0]?.message.tool_calls).toMatchObject([
      { function: { name: "get_weather", parsed_arguments: { city: "Paris" } } },
    ]);
  });

  it("stream() tells of a call's arguments as they come, and once when they are whole", async () => {
    const { tool } = weatherTool();
    const stream = chat().stream({ ...asking(PARIS), tools: [tool] });
    const deltas: string[] = [];
    const done: unknown[] = [];
    stream.on("tool_calls.function.arguments.delta", ({ index, name, arguments_delta }) => {
      expect([index, name]).toEqual([0, "get_weather"]);
      deltas.push(arguments_delta);
    });
    stream.on("tool_calls.function.arguments.done", (event) => void done.push(event));
    const { choices } = await stream.finalChatCompletion();
    expect(deltas.length).toBeGreaterThan(2);
    expect(done).toEqual([
      {
        index: 0,
        name: "get_weather",
        arguments: deltas.join(""),
        parsed_arguments: { city: "Paris" },
      },
    ]);
    expect(choices[0]).toMatchObject({
      finish_reason: "tool_calls",
      message: { content: null, tool_calls: [{ id: expect.stringMatching(/^call_/), type: "function" }] },
    });
  });

  it("stream() tells of the whole of two calls in turn", async () => {
    const { tool } = weatherTool();
    const stream = chat().stream({ ...asking(TWO_CITIES), tools: [tool] });
    const done: unknown[] = [];
    stream.on("tool_calls.function.arguments.done", ({ index, parsed_arguments }) => {
      done.push([index, parsed_arguments]);
    });
    await stream.done();
    expect(done).toEqual([
      [0, { city: "Paris" }],
      [1, { city: "London" }],
    ]);
  });
});
