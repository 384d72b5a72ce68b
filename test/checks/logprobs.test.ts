import { describe, expect, it } from "vitest";
import { demoHost, LONG_QUESTION } from "../harness/demo-engine.ts";
import { type Site, useSites } from "../harness/sites.ts";
import { chat, eventsOf, type Json, readStream } from "../harness/wire.ts";

const { sites } = useSites(() => demoHost());

/** Its answer has characters of three bytes; at a high temperature also tokens that are parts of characters. */
const WIDE_QUESTION = "你好";

async function ask(site: Site, question: string, more: Record<string, unknown>): Promise<readonly Json[]> {
  const response = await site.post(
    "/chat/completions",
    chat(question, { logprobs: true, max_tokens: 16, ...more }),
  );
  expect(response.status).toBe(200);
  return (await response.json()).choices;
}

/** What holds for every answer with log probabilities. */
function expectScores({ message, logprobs }: Json, top: number): void {
  expect(logprobs.refusal).toBeNull();
  const { content } = logprobs;
  expect(content.length).toBeGreaterThan(1);
  const bytes = Uint8Array.from(content.flatMap((token: Json) => token.bytes));
  expect(new TextDecoder().decode(bytes)).toBe(message.content);
  for (const token of content) {
    expect(token.logprob).toBeLessThanOrEqual(0);
    expect(token.top_logprobs).toHaveLength(top);
    const values = token.top_logprobs.map(({ logprob }: Json) => logprob);
    expect(values).toEqual(values.toSorted((a: number, b: number) => b - a));
    expect(values.reduce((sum: number, value: number) => sum + Math.exp(value), 0)).toBeLessThan(1 + 1e-6);
    for (const each of [token, ...token.top_logprobs]) {
      expect(new TextDecoder().decode(Uint8Array.from(each.bytes))).toBe(each.token);
    }
  }
}

/** A token's identity: its text may be U+FFFD. */
const keyOf = ({ bytes }: Json) => bytes.join();

describe.each(sites)("logprobs through $name", (site) => {
  it("C7 every token has its bytes and its log probability, and joined they are the content", async () => {
    const [choice] = await ask(site, LONG_QUESTION, { temperature: 0 });
    expectScores(choice, 0);
    const tokens = choice.logprobs.content.map(({ token }: Json) => token);
    expect(tokens.join("")).toBe(choice.message.content);
    expect(tokens).toHaveLength(16);
  });

  it.each([0, 1, 5, 20])(
    "C7 with top_logprobs %d at temperature 1 so many stand beside each, best first",
    async (top) => {
      for (const choice of await ask(site, LONG_QUESTION, {
        top_logprobs: top,
        temperature: 1,
        seed: 5,
        n: 2,
      }))
        expectScores(choice, top);
    },
  );

  it("C7 tokens that are parts of characters have bytes that add up", async () => {
    for (const choice of await ask(site, WIDE_QUESTION, { top_logprobs: 5, temperature: 1, seed: 5, n: 2 }))
      expectScores(choice, 5);
  });

  it("C7 a greedy answer is made of the likeliest tokens", async () => {
    const [{ logprobs }] = await ask(site, LONG_QUESTION, { top_logprobs: 1, temperature: 0 });
    for (const { top_logprobs, ...token } of logprobs.content) expect(top_logprobs).toEqual([token]);
  });

  it("C7 a token's value is the model's own, whatever the temperature, the filters and the bias", async () => {
    const asked = { top_logprobs: 20, max_tokens: 8 };
    const [{ logprobs: scores }] = await ask(site, LONG_QUESTION, { ...asked, temperature: 0 });
    const greedy = scores.content;
    const settings = [
      { temperature: 1 },
      { temperature: 2 },
      { temperature: 0.3, top_p: 0.5 },
      { temperature: 1, top_k: 3 },
      { temperature: 1, frequency_penalty: 1, presence_penalty: 1 },
    ];
    for (const sampling of settings) {
      const drawn = await ask(site, LONG_QUESTION, { ...sampling, ...asked, seed: 11, n: 3 });
      for (const { logprobs } of drawn) {
        // Up to the first token that differs, both stand behind the same text.
        const shared = logprobs.content.findIndex(
          (token: Json, i: number) => keyOf(token) !== keyOf(greedy[i]),
        );
        const places = shared < 0 ? logprobs.content.length : shared + 1;
        for (const [i, token] of logprobs.content.slice(0, places).entries()) {
          const known = new Map<string, number>(
            greedy[i].top_logprobs.map((each: Json) => [keyOf(each), each.logprob]),
          );
          const scored = [token, ...token.top_logprobs].filter((each) => known.has(keyOf(each)));
          expect(scored.length).toBeGreaterThan(15);
          for (const each of scored)
            expect(each.logprob).toBeCloseTo(known.get(keyOf(each)) ?? Number.NaN, 1);
        }
      }
    }
  });

  it("C7 streamed, the scores keep step with the text, and are those of the answer at once", async () => {
    const asked = { temperature: 0, top_logprobs: 2 };
    const [whole] = await ask(site, WIDE_QUESTION, asked);
    const body = chat(WIDE_QUESTION, { logprobs: true, max_tokens: 16, ...asked, stream: true });
    const { chunks } = await readStream(await site.post("/chat/completions", body));
    const choices = chunks.map(({ choices }) => choices[0]);
    expect([choices[0].logprobs, choices.at(-1).logprobs]).toEqual([null, null]);
    const decoder = new TextDecoder();
    for (const { delta, logprobs } of choices.slice(1, -1)) {
      const bytes = Uint8Array.from(logprobs.content.flatMap((token: Json) => token.bytes));
      expect(decoder.decode(bytes, { stream: true })).toBe(delta.content);
    }
    const tokens = choices.flatMap(({ logprobs }) => logprobs?.content ?? []);
    expect(tokens.map(keyOf)).toEqual(whole.logprobs.content.map(keyOf));
  });

  it("C7 the tokens of a call are no content", async () => {
    const parameters = { type: "object", properties: { city: { type: "string" } } };
    const tools = [{ type: "function", function: { name: "get_weather", parameters } }];
    const asked = { tools, temperature: 0, max_tokens: 60 };
    const [{ message, logprobs }] = await ask(site, "What is the weather in Paris?", asked);
    expect(message.tool_calls).toHaveLength(1);
    expect(logprobs).toEqual({ content: [], refusal: null });
  });

  it("C7 a stop string's tokens are not among them", async () => {
    const [whole] = await ask(site, LONG_QUESTION, { temperature: 0 });
    const tokens = whole.logprobs.content;
    const stop = tokens[3].token + tokens[4].token;
    const [cut] = await ask(site, LONG_QUESTION, { temperature: 0, stop });
    expect(cut.message.content).toBe(whole.message.content.split(stop)[0]);
    expect(cut.logprobs.content.map(({ token }: Json) => token).join("")).toBe(cut.message.content);
  });

  it("C7 without logprobs there are none", async () => {
    const [choice] = await ask(site, LONG_QUESTION, { logprobs: false, temperature: 0 });
    expect(choice.logprobs).toBeNull();
  });
});

describe.each(sites)("obfuscation through $name", (site) => {
  const payloads = async (stream_options: unknown, question = WIDE_QUESTION) => {
    const body = chat(question, { temperature: 0, max_tokens: 16, stream: true, stream_options });
    const events: string[] = [];
    for await (const event of eventsOf(await site.post("/chat/completions", body))) events.push(event);
    expect(events.pop()).toBe("[DONE]");
    return events;
  };
  /** Of a whole event: `data: `, the payload and two line ends. */
  const eventBytes = (payload: string) => new TextEncoder().encode(payload).length + 8;

  it("S7 asked for, every delta carries some, and the sizes of events tell nothing of their text", async () => {
    const events = await payloads({ include_obfuscation: true });
    expect(events.length).toBeGreaterThan(6);
    const texts = new Set(events.map((event) => JSON.parse(event).choices[0].delta.content?.length));
    expect(texts.size, "texts of several lengths").toBeGreaterThan(2);
    for (const event of events) expect(JSON.parse(event).obfuscation).toMatch(/^\w+$/);
    expect(new Set(events.map((event) => eventBytes(event) % 64)).size).toBe(1);
    const noise = events.map((event) => JSON.parse(event).obfuscation);
    expect(new Set(noise).size, "random").toBe(noise.length);
  });

  it.each([undefined, null, {}, { include_usage: true }, { include_obfuscation: false }])(
    "S7 absent with stream_options %j",
    async (options) => {
      for (const event of await payloads(options))
        expect(JSON.parse(event)).not.toHaveProperty("obfuscation");
    },
  );
});
