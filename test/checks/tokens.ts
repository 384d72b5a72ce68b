import { describe, expect, it } from "vitest";
import type { HostOptions } from "../harness/host.ts";
import { type Site, useSites } from "../harness/sites.ts";
import { chat, eventsOf, eventually, type Json, MODEL, readStream } from "../harness/wire.ts";

export interface TokenEngine {
  /** What serves `sluice-demo`. */
  readonly setup: () => HostOptions | Promise<HostOptions>;
  /** A user message whose answer has 12 tokens or more. */
  readonly question: string;
  /** A bare prompt that is completed by 3 tokens or more. */
  readonly prompt: string;
  /** A user message whose answer has characters of three and four bytes. */
  readonly wideQuestion: string;
  readonly contextSize: number;
  /** It draws tokens: a seed and a temperature make a difference. */
  readonly isSampling: boolean;
}

/** The checks that look at single tokens, against the host and through the Worker. */
export function tokenChecks(name: string, engine: TokenEngine): void {
  const { sites, host } = useSites(engine.setup);
  const { question, prompt, contextSize } = engine;
  const isIdle = () =>
    eventually(async () => {
      const { engines }: Json = await (await fetch(`${host().url}/v1/system/status`)).json();
      expect(engines[0]).toMatchObject({ active: 0, queued: 0 });
    });
  const traffic = async (): Promise<Json> =>
    ((await (await fetch(`${host().url}/v1/system/status`)).json()) as Json).traffic;

  describe.each(sites)(`${name} through $name`, (site) => {
    const ask = (more: Record<string, unknown>, text = question) =>
      whole(site, text, { temperature: 0, ...more });

    it("C3 three choices have their own index, finish and tokens, at once and streamed", async () => {
      const body = await ask({ n: 3, temperature: 1, max_tokens: 4 });
      expect(body.choices.map(({ index }: Json) => index)).toEqual([0, 1, 2]);
      expect(body.choices.map(({ finish_reason }: Json) => finish_reason)).toEqual([
        "length",
        "length",
        "length",
      ]);
      expect(body.usage.completion_tokens).toBe(12);
      const asked = {
        n: 3,
        temperature: 1,
        max_tokens: 4,
        stream: true,
        stream_options: { include_usage: true },
      };
      const stream = await readStream(await site.post("/chat/completions", chat(question, asked)));
      expect([0, 1, 2].map((index) => stream.finish(index))).toEqual(["length", "length", "length"]);
      expect(stream.chunks.at(-1).usage.completion_tokens).toBe(12);
      expect(stream.chunks.at(-1).usage.prompt_tokens).toBe(body.usage.prompt_tokens);
    });

    it("C4 a stop string never leaks, wherever it lies over the tokens; the earliest one wins", async () => {
      const { message } = (await ask({ max_tokens: 12 })).choices[0];
      const text: string = message.content;
      for (let at = 1; at + 3 <= text.length; at += Math.ceil(text.length / 8)) {
        const stops = [text.slice(at + 1, at + 3), text.slice(at, at + 3)];
        const expected = text.slice(0, Math.min(...stops.map((stop) => text.indexOf(stop))));
        const cut = (await ask({ max_tokens: 12, stop: stops })).choices[0];
        expect([cut.message.content, cut.finish_reason], `stop ${JSON.stringify(stops)}`).toEqual([
          expected,
          "stop",
        ]);
        const asked = { temperature: 0, max_tokens: 12, stop: stops, stream: true };
        const stream = await readStream(await site.post("/chat/completions", chat(question, asked)));
        expect([stream.text(), stream.finish()]).toEqual([expected, "stop"]);
      }
    });

    it("C4 the head of a stop string that does not come is sent in the end", async () => {
      const plain = (await ask({ max_tokens: 12 })).choices[0];
      const text: string = plain.message.content;
      const stop = `${text.slice(-3)}\u0001`;
      const asked = { temperature: 0, max_tokens: 12, stop, stream: true };
      const stream = await readStream(await site.post("/chat/completions", chat(question, asked)));
      expect([stream.text(), stream.finish()]).toEqual([text, plain.finish_reason]);
    });

    it.each(["max_tokens", "max_completion_tokens"])(
      "C6 %s of 1 is one token, and the finish says length",
      async (limit) => {
        const body = await ask({ [limit]: 1 });
        expect(body.choices[0].finish_reason).toBe("length");
        expect(body.usage.completion_tokens).toBe(1);
      },
    );

    it("C6 max_completion_tokens wins over max_tokens", async () => {
      expect((await ask({ max_completion_tokens: 2, max_tokens: 5 })).usage.completion_tokens).toBe(2);
    });

    if (engine.isSampling)
      it("C8 the same seed gives the same text, another seed another", async () => {
        // Bare prompts that many of its texts begin with: at a question the demo model has no doubt.
        const prompt = ["The", "A", "It", "You", "Each"];
        const drawn = async (seed: number) => {
          const ask = { model: MODEL, prompt, seed, temperature: 1, max_tokens: 24 };
          const body: Json = await (await site.post("/completions", ask)).json();
          const texts = body.choices.map(({ text }: Json) => text);
          return { text: texts.join("\n"), fingerprint: body.system_fingerprint };
        };
        const [first, again, other] = [await drawn(7), await drawn(7), await drawn(8)];
        expect(again).toEqual(first);
        expect(other.text).not.toBe(first.text);
        expect(other.fingerprint).toBe(first.fingerprint);
        expect(first.fingerprint).toEqual(expect.any(String));
      });

    it("C11 a prompt beyond the context is refused with both numbers, never cut", async () => {
      const long = Array.from({ length: contextSize + 1 }, (_, i) => `w${i}`).join(" ");
      for (const stream of [false, true]) {
        const response = await site.post("/chat/completions", chat(long, { stream }));
        expect(response.status).toBe(400);
        const { error } = await response.json();
        expect(error).toMatchObject({
          type: "invalid_request_error",
          code: "context_length_exceeded",
          param: "messages",
        });
        expect(error.message).toMatch(
          new RegExp(
            `^This model's maximum context length is ${contextSize} tokens\\. However, .*\\d+ tokens`,
          ),
        );
      }
    });

    it("C11 a max_tokens beyond the context is refused with both numbers", async () => {
      const response = await site.post("/chat/completions", chat(question, { max_tokens: contextSize }));
      expect(response.status).toBe(400);
      const { error } = await response.json();
      expect(error.code).toBe("context_length_exceeded");
      expect(error.message).toContain(
        `maximum context length is ${contextSize} tokens. However, you requested`,
      );
      expect(error.message).toContain(`${contextSize} in the completion`);
    });

    it("C12 wide characters are never split: each piece is whole, and joined they are the answer", async () => {
      const plain: string = (await ask({ max_tokens: 40 }, engine.wideQuestion)).choices[0].message.content;
      expect(new TextEncoder().encode(plain).length).toBeGreaterThan(plain.length);
      const asked = { temperature: 0, max_tokens: 40, stream: true };
      const response = await site.post("/chat/completions", chat(engine.wideQuestion, asked));
      const stream = await readStream(response);
      for (const chunk of stream.chunks) expect(chunk.choices[0].delta.content ?? "").toSatisfy(isWhole);
      expect(stream.text()).toBe(plain);
    });

    it("P1 each prompt has n choices, at prompt × n + choice", async () => {
      const post = async (body: Record<string, unknown>): Promise<Json> =>
        (await site.post("/completions", { model: MODEL, max_tokens: 3, temperature: 0, ...body })).json();
      const one = await post({ prompt });
      expect(one.choices).toHaveLength(1);
      const both = await post({ prompt: [prompt, `one ${prompt}`], n: 2 });
      expect(both.choices.map(({ index }: Json) => index)).toEqual([0, 1, 2, 3]);
      expect(both.choices[0].text).toBe(one.choices[0].text);
      expect(both.usage.completion_tokens).toBe(12);
      expect(both.usage.prompt_tokens).toBeGreaterThan(one.usage.prompt_tokens);
      const ids = [11, 12, 13, 14];
      const tokens = await post({ prompt: ids });
      expect(tokens.usage.prompt_tokens).toBeGreaterThanOrEqual(ids.length);
      const lists = await post({ prompt: [ids], n: 2 });
      expect(lists.choices.map(({ text }: Json) => text)).toEqual([
        tokens.choices[0].text,
        tokens.choices[0].text,
      ]);
    });

    it("P1 prompts stream side by side, each under its index", async () => {
      const body = {
        model: MODEL,
        prompt: [prompt, prompt],
        max_tokens: 3,
        temperature: 0,
        stream: true,
      };
      const stream = await readStream(await site.post("/completions", body));
      expect(stream.isDone).toBe(true);
      expect(stream.text(0)).toBe(stream.text(1));
      expect([stream.finish(0), stream.finish(1)]).toEqual(["length", "length"]);
    });

    it("S5 a client that leaves after three chunks frees the engine, and pays for what was made", async () => {
      const before = await traffic();
      const response = await site.post("/chat/completions", chat(question, { stream: true }));
      let seen = 0;
      for await (const _ of eventsOf(response)) if (++seen === 3) break;
      await isIdle();
      await eventually(async () => expect((await traffic()).in_flight).toBe(0));
      const made = (await traffic()).completion_tokens_total - before.completion_tokens_total;
      expect(made).toBeGreaterThanOrEqual(1);
    });
  });
}

async function whole(site: Site, text: string, more: Record<string, unknown>): Promise<Json> {
  const response = await site.post("/chat/completions", chat(text, more));
  expect(response.status).toBe(200);
  return response.json();
}

/** Neither a replacement character nor half of a surrogate pair. */
function isWhole(text: string): boolean {
  return !text.includes("\uFFFD") && text.isWellFormed();
}
