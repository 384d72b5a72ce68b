import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateObject, generateText, isStepCount, Output, streamObject, streamText, tool } from "ai";
import { describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { demoHost } from "../harness/demo-engine.ts";
import { checkedFetch } from "../harness/oracle.ts";
import { useSites } from "../harness/sites.ts";
import { collect, MODEL, stayOnLoopback } from "./servers.ts";

stayOnLoopback();
// It would print that `generateObject` and `streamObject` are deprecated; people still use them.
vi.stubGlobal("AI_SDK_LOG_WARNINGS", false);

const { sites } = useSites(() => demoHost());

const SETTINGS = { temperature: 0, maxOutputTokens: 200, maxRetries: 0 };
/** The demo model repeats it. */
const REPEAT = 'Repeat: {"city": "Paris", "temp": 21}';
const PARIS = { city: "Paris", temp: 21 };
const Weather = z.object({ city: z.string().max(12), temp: z.int().min(-40).max(60) });

function weatherTool() {
  const asked: string[] = [];
  const get_weather = tool({
    description: "The weather in a city",
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => {
      asked.push(city);
      return { temp: 21 };
    },
  });
  return { asked, tools: { get_weather } };
}

describe.each(sites)("the AI SDK's tools and objects on the demo model through $name", (site) => {
  const model = () =>
    createOpenAICompatible({
      name: "sluice",
      baseURL: `${site.url}/v1`,
      fetch: checkedFetch,
      includeUsage: true,
      supportsStructuredOutputs: true,
    })(MODEL);

  it("generateObject gives what zod declares", async () => {
    const { object, finishReason, warnings } = await generateObject({
      model: model(),
      ...SETTINGS,
      prompt: REPEAT,
      schema: Weather,
    });
    expect([object, finishReason]).toEqual([PARIS, "stop"]);
    expect(warnings ?? []).toEqual([]);
  });

  it("generateObject gives a value of an enum", async () => {
    const { object } = await generateObject({
      model: model(),
      ...SETTINGS,
      prompt: "Train or boat?",
      output: "enum",
      enum: ["train", "boat"],
    });
    expect(["train", "boat"]).toContain(object);
  });

  it("streamObject grows to the object that zod declares", async () => {
    const result = streamObject({ model: model(), ...SETTINGS, prompt: REPEAT, schema: Weather });
    const partials = await collect(result.partialObjectStream);
    expect(partials).toContainEqual({ city: "Paris" });
    expect(partials.at(-1)).toEqual(PARIS);
    expect(await result.object).toEqual(PARIS);
    expect((await result.usage).outputTokens).toBeGreaterThan(5);
  });

  it("generateText and streamText with Output.object give it too", async () => {
    const asked = { ...SETTINGS, prompt: REPEAT, output: Output.object({ schema: Weather }) };
    expect((await generateText({ model: model(), ...asked })).output).toEqual(PARIS);
    const result = streamText({ model: model(), ...asked });
    expect((await collect(result.partialOutputStream)).at(-1)).toEqual(PARIS);
    expect(await result.output).toEqual(PARIS);
  });

  it.each([
    { language: "English", prompt: "What is the weather in Paris?", city: "Paris" },
    { language: "Chinese", prompt: "北京天气怎么样？", city: "北京" },
  ])("generateText takes two steps to answer in $language with a tool", async ({ prompt, city }) => {
    const { asked, tools } = weatherTool();
    const { steps, text, finishReason } = await generateText({
      model: model(),
      ...SETTINGS,
      prompt,
      tools,
      stopWhen: isStepCount(4),
    });
    expect(asked).toEqual([city]);
    expect(steps.map((step) => step.finishReason)).toEqual(["tool-calls", "stop"]);
    expect(steps[0]?.toolResults[0]).toMatchObject({ input: { city }, output: { temp: 21 } });
    expect([text, finishReason]).toEqual([expect.stringContaining("21"), "stop"]);
  });

  it("streamText takes two steps, its parts in order", async () => {
    const { asked, tools } = weatherTool();
    const result = streamText({
      model: model(),
      ...SETTINGS,
      prompt: "What is the weather in Paris and London?",
      tools,
      stopWhen: isStepCount(4),
    });
    const parts = await collect(result.stream);
    expect(asked.toSorted()).toEqual(["London", "Paris"]);
    const types = parts.map(({ type }) => type);
    expect(types).not.toContain("error");
    expect(types.filter((type) => type === "tool-input-start")).toHaveLength(2);
    expect(types.filter((type) => type === "tool-input-end")).toHaveLength(2);
    expect(types.filter((type) => type === "tool-call")).toHaveLength(2);
    expect(types.filter((type) => type === "tool-result")).toHaveLength(2);
    expect(types.filter((type) => type === "finish-step")).toHaveLength(2);
    expect(types.at(-1)).toBe("finish");
    expect(await result.text).toMatch(/21/);
  });

  it("toolChoice forces a call, by name or any, or none", async () => {
    const { tools } = weatherTool();
    const asked = { ...SETTINGS, prompt: "What is the weather in Paris?", tools };
    for (const toolChoice of ["required", { type: "tool", toolName: "get_weather" }] as const) {
      const { toolCalls, finishReason } = await generateText({ model: model(), ...asked, toolChoice });
      expect(finishReason).toBe("tool-calls");
      expect(toolCalls.map(({ toolName, input }) => [toolName, input])).toEqual([
        ["get_weather", { city: "Paris" }],
      ]);
    }
    const none = await generateText({ model: model(), ...asked, toolChoice: "none" });
    expect([none.toolCalls, none.finishReason]).toEqual([[], "stop"]);
  });
});
