import { describe, expect, it } from "vitest";
import { clientOf } from "./openai-client.ts";
import { ASK, collect, describeStacks, stayOnLoopback } from "./servers.ts";

stayOnLoopback();

const PROMPTS = [
  "How is the weather in Paris on a Monday morning?",
  "What can you do?",
  "Grüße aus Köln 🌧️: what is the weather like?",
  "Tell me a short story about rain.",
];

describeStacks(({ host, worker }) => {
  const ask = (prompt: string, change: { temperature: number; seed: number }) => ({
    ...ASK,
    messages: [{ role: "user" as const, content: prompt }],
    max_completion_tokens: 48,
    ...change,
  });
  const chatAt = (baseURL: string) => clientOf(baseURL).chat.completions;

  async function wholeText(baseURL: string, body: ReturnType<typeof ask>): Promise<string> {
    const { choices } = await chatAt(baseURL).create(body);
    return choices[0]?.message.content ?? expect.unreachable("No text");
  }

  async function streamedText(baseURL: string, body: ReturnType<typeof ask>): Promise<string> {
    const chunks = await collect(await chatAt(baseURL).create({ ...body, stream: true }));
    return chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join("");
  }

  describe.each([
    { name: "temperature 0", temperature: 0 },
    { name: "temperature 1", temperature: 1 },
  ])("a fixed seed and $name", ({ temperature }) => {
    it.each(PROMPTS)("give the same text from the host and through the Worker: %s", async (prompt) => {
      const body = ask(prompt, { temperature, seed: 7 });
      const text = await wholeText(host.baseURL, body);
      expect(text).not.toBe("");
      expect(await wholeText(worker.baseURL, body)).toBe(text);
      expect(await streamedText(host.baseURL, body)).toBe(text);
      expect(await streamedText(worker.baseURL, body)).toBe(text);
    });
  });
});
