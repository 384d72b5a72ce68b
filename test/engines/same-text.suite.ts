import { readFileSync } from "node:fs";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import type { HostedEngine } from "../../shared/engine.ts";
import { type Host, startHost } from "../harness/host.ts";
import { checkedFetch } from "../harness/oracle.ts";
import { type Json, MODEL, readStream } from "../harness/wire.ts";
import { type Made, makeLlamaCpp, makeSupervised, prepared, sourceOf } from "./real-engines.ts";
import { PACKAGED } from "./venvs.ts";

/** Questions that the model was never trained on. */
function questions(language: "en" | "zh", count: number): readonly string[] {
  const file = new URL(`../../runtime-node/models/demo/data/${language}.yaml`, import.meta.url);
  const pairs: Json[] = parse(readFileSync(file, "utf8"));
  return pairs.flatMap(({ held = [] }) => held.slice(0, 1)).slice(0, count);
}
const PROMPTS = [...questions("en", 35), ...questions("zh", 15)];
const TOOLS = [
  {
    type: "function" as const,
    function: {
      name: "get_weather",
      parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
    },
  },
];

interface Served extends Made {
  readonly name: string;
  readonly host: Host;
  readonly supervised: HostedEngine | undefined;
  readonly answers: Map<string, Json>;
}
const served: Served[] = [];

async function serve(name: string, made: Made, source: string, supervised?: HostedEngine): Promise<void> {
  const from = performance.now();
  await made.engine.initialize();
  await made.engine.loadModel(MODEL, source);
  console.log(`${name}: ready after ${((performance.now() - from) / 1000).toFixed(1)} s`);
  const host = await startHost({ engine: made.engine, config: { models: [{ id: MODEL, source }] } });
  served.push({ ...made, name, host, supervised, answers: new Map() });
}

beforeAll(async () => {
  await serve("llama.cpp", makeLlamaCpp(), prepared.f32);
  for (const name of PACKAGED) {
    if (prepared.venvs[name] === undefined) continue;
    const made = await makeSupervised(name);
    await serve(name, made, sourceOf(name), made.engine);
  }
});
afterAll(async () => {
  for (const { host, close } of served) {
    await host.close();
    await close();
  }
});

const ask = async ({ host }: Served, more: Record<string, unknown>, path = "/chat/completions") => {
  const body = JSON.stringify({ model: MODEL, temperature: 0, max_tokens: 80, ...more });
  const response = await checkedFetch(`${host.baseURL}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body,
  });
  return response;
};
const asking = (text: string) => ({ messages: [{ role: "user", content: text }] });

describe("the same weights on every engine", () => {
  it("give the same greedy text for 50 prompts, and the same usage", async () => {
    expect(PROMPTS).toHaveLength(50);
    for (const each of served) {
      const from = performance.now();
      for (const prompt of PROMPTS) each.answers.set(prompt, await (await ask(each, asking(prompt))).json());
      console.log(`${each.name}: 50 answers in ${((performance.now() - from) / 1000).toFixed(1)} s`);
    }
    const [first, ...others] = served;
    const differences: string[] = [];
    for (const other of others) {
      let same = 0;
      for (const prompt of PROMPTS) {
        const a = first?.answers.get(prompt);
        const b = other.answers.get(prompt);
        const [left, right] = [a, b].map((answer) => answer.choices[0].message.content);
        if (left === right) {
          same++;
          expect(counts(b)).toEqual(counts(a));
        } else {
          const gap = await gapAt(other, prompt, commonLength(left, right));
          differences.push(
            `${other.name}, ${JSON.stringify(prompt)}: ${JSON.stringify(left)} / ${JSON.stringify(right)}; ${gap}`,
          );
        }
      }
      console.log(`${other.name} against ${first?.name}: ${same} of 50 the same`);
    }
    for (const difference of differences) console.log(difference);
    expect(differences).toEqual([]);
  });

  it("stream what they answer at once", async () => {
    for (const each of served) {
      const prompt = PROMPTS[0] ?? "";
      const stream = await readStream(
        await ask(each, { ...asking(prompt), stream: true, stream_options: { include_usage: true } }),
      );
      expect(stream.text()).toBe(each.answers.get(prompt)?.choices[0].message.content);
      expect(counts(stream.chunks.at(-1))).toEqual(counts(each.answers.get(prompt)));
    }
  });

  it("call the same tools, and take their results", async () => {
    const question = "What is the weather in Paris and in London?";
    const calls = await Promise.all(
      served.map(async (each) => {
        const answer: Json = await (await ask(each, { ...asking(question), tools: TOOLS })).json();
        return answer.choices[0].message.tool_calls?.map(({ function: made }: Json) => [
          made.name,
          JSON.parse(made.arguments),
        ]);
      }),
    );
    for (const each of calls) expect(each).toEqual(calls[0]);
    expect(calls[0]).toHaveLength(2);
  });

  it("give close log probabilities", async () => {
    const scores = await Promise.all(
      served.map(async (each) => {
        const answer: Json = await (
          await ask(each, { ...asking("What is Sluice?"), max_tokens: 8, logprobs: true, top_logprobs: 2 })
        ).json();
        return answer.choices[0].logprobs.content.map(({ token, logprob }: Json) => [token, logprob]);
      }),
    );
    for (const each of scores) {
      expect(each.map(([token]: Json) => token)).toEqual(scores[0].map(([token]: Json) => token));
      for (const [i, [, logprob]] of each.entries()) expect(logprob).toBeCloseTo(scores[0][i][1], 2);
    }
  });

  it("serve OpenAI's own client", async () => {
    for (const { host, name } of served) {
      const client = new OpenAI({ baseURL: host.baseURL, apiKey: "none", maxRetries: 0 });
      const stream = client.chat.completions.stream({
        model: MODEL,
        temperature: 0,
        max_tokens: 40,
        messages: [{ role: "user", content: "What is Sluice?" }],
      });
      const final = await stream.finalChatCompletion();
      expect(final.choices[0]?.message.content, name).toContain("Sluice is an OpenAI-compatible gateway");
      const refused = client.chat.completions.create({ model: "nobody", messages: [] });
      await expect(refused).rejects.toBeInstanceOf(OpenAI.APIError);
    }
  });
});

describe("a real engine that is killed with -9", () => {
  it("ends its stream in an error event, and the next request is answered", async () => {
    for (const each of served) {
      if (each.supervised === undefined) continue;
      const stream = ask(each, {
        ...asking("What is Sluice?"),
        stream: true,
        temperature: 2,
        max_tokens: 400,
      });
      const pid = Number(each.supervised.status().details.pid);
      const reading = readStream(await stream);
      process.kill(pid, "SIGKILL");
      const { error, isDone } = await reading;
      if (error !== undefined)
        expect({ isDone, error }).toMatchObject({ isDone: false, error: { type: "server_error" } });
      const from = performance.now();
      const answer: Json = await (await ask(each, asking(PROMPTS[0] ?? ""))).json();
      console.log(
        `${each.name}: killed (${error === undefined ? "after its stream" : "in mid-stream"}), answered again after ${((performance.now() - from) / 1000).toFixed(1)} s`,
      );
      expect(answer.choices[0].message.content).toBe(
        each.answers.get(PROMPTS[0] ?? "")?.choices[0].message.content,
      );
    }
  });
});

/** Usage as every engine must count it; how much of a prompt was cached is its own affair. */
function counts({ usage }: Json) {
  return [usage.prompt_tokens, usage.completion_tokens, usage.total_tokens];
}

function commonLength(a: string, b: string): number {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length++;
  return length;
}

/** How close the two likeliest tokens are where the texts part. */
async function gapAt(each: Served, prompt: string, at: number): Promise<string> {
  const answer: Json = await (await ask(each, { ...asking(prompt), logprobs: true, top_logprobs: 2 })).json();
  let length = 0;
  for (const { token, top_logprobs: top } of answer.choices[0].logprobs.content) {
    length += token.length;
    if (length > at)
      return `top-2 gap ${(top[0].logprob - top[1].logprob).toFixed(4)} at ${JSON.stringify(token)}`;
  }
  return "no gap: one of them ended";
}
