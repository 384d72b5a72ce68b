import { HumanMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatOpenAI } from "@langchain/openai";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { demoHost } from "../harness/demo-engine.ts";
import { checkedFetch } from "../harness/oracle.ts";
import { useSites } from "../harness/sites.ts";
import { collect, MODEL, stayOnLoopback } from "./servers.ts";

stayOnLoopback();

const { sites } = useSites(() => demoHost());

/** The demo model repeats it. */
const REPEAT = 'Repeat: {"city": "Paris", "temp": 21}';
const PARIS = { city: "Paris", temp: 21 };
const Weather = z.object({ city: z.string().max(12), temp: z.int().min(-40).max(60) });

const getWeather = tool(async () => "21 degrees and sunny", {
  name: "get_weather",
  description: "The weather in a city",
  schema: z.object({ city: z.string() }),
});

describe.each(sites)("LangChain's tools and objects on the demo model through $name", (site) => {
  const model = () =>
    new ChatOpenAI({
      model: MODEL,
      apiKey: "none",
      temperature: 0,
      maxTokens: 200,
      maxRetries: 0,
      configuration: { baseURL: `${site.url}/v1`, fetch: checkedFetch },
    });

  it.each([
    { language: "English", question: "What is the weather in Paris?", city: "Paris" },
    { language: "Chinese", question: "北京天气怎么样？", city: "北京" },
  ])(
    "bindTools: a call for a question in $language, and an answer from the tool's result",
    async ({ question, city }) => {
      const bound = model().bindTools([getWeather]);
      const messages = [new HumanMessage(question)];
      const called = await bound.invoke(messages);
      expect(called.tool_calls).toEqual([
        { name: "get_weather", args: { city }, id: expect.stringMatching(/^call_/), type: "tool_call" },
      ]);
      expect(called.invalid_tool_calls).toEqual([]);
      expect(called.response_metadata).toMatchObject({ finish_reason: "tool_calls" });
      const [call] = called.tool_calls ?? [];
      const result = await getWeather.invoke(call ?? expect.unreachable());
      const answer = await bound.invoke([...messages, called, result]);
      expect(answer.text).toContain("21 degrees and sunny");
      expect(answer.tool_calls).toEqual([]);
    },
  );

  it("bindTools: streamed chunks add up to the calls", async () => {
    const stream = await model().bindTools([getWeather]).stream("What is the weather in Paris and London?");
    const [first, ...rest] = await collect(stream);
    const whole = rest.reduce((sum, chunk) => sum.concat(chunk), first ?? expect.unreachable());
    expect(whole.tool_calls?.map(({ name, args }) => [name, args])).toEqual([
      ["get_weather", { city: "Paris" }],
      ["get_weather", { city: "London" }],
    ]);
    expect(whole.usage_metadata?.output_tokens).toBeGreaterThan(20);
  });

  it("bindTools: tool_choice and parallel_tool_calls reach the model", async () => {
    const question = "What is the weather in Paris and London?";
    for (const tool_choice of ["required", "any", "get_weather"]) {
      const bound = model().bindTools([getWeather], { tool_choice, parallel_tool_calls: false });
      expect((await bound.invoke(question)).tool_calls).toHaveLength(1);
    }
    const none = model().bindTools([getWeather], { tool_choice: "none" });
    expect((await none.invoke(question)).tool_calls).toEqual([]);
  });

  it.each(["jsonSchema", "functionCalling", "jsonMode"])(
    "withStructuredOutput gives what zod declares by %s",
    async (method) => {
      const structured = model().withStructuredOutput(Weather, { method, name: "weather" });
      const value = await structured.invoke(REPEAT);
      if (method === "functionCalling") expect(Weather.parse(value)).toEqual(value);
      else expect(value).toEqual(PARIS);
    },
  );

  it("withStructuredOutput streams objects that grow", async () => {
    const structured = model().withStructuredOutput(Weather, { method: "jsonSchema", name: "weather" });
    const partials = await collect(await structured.stream(REPEAT));
    expect(partials.at(-1)).toEqual(PARIS);
  });
});
