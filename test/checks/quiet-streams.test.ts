import { once } from "node:events";
import { describe, expect, it } from "vitest";
import type { Engine } from "../../shared/engine.ts";
import { dummy } from "../harness/app.ts";
import { useSites } from "../harness/sites.ts";
import { chat, eventsOf, eventually, gate, type Json, MODEL, readStream } from "../harness/wire.ts";

let prefill = gate();
let token = gate();
/** The first token that `token` holds. */
let heldFrom = 0;

/** Holds its headers as a long prefill would, and then a token. */
function slowDummy(): Engine {
  const engine = dummy({
    beforeToken: async (index, signal) => {
      if (index < heldFrom) return;
      await Promise.race([token.opened, once(signal, "abort")]);
    },
  });
  return {
    ...engine,
    respond: async (call) => {
      await prefill.opened;
      return engine.respond(call);
    },
  };
}

const { sites, host } = useSites(() => ({ engine: slowDummy(), config: { limits: { keepAliveMs: 20 } } }));
const STREAM = chat("one two", { stream: true });

describe.each(sites)("S6 a stream that is silent, through $name", (site) => {
  const pinged = async (body: ReadableStream<Uint8Array> | null, onPing: () => void): Promise<Response> => {
    const decoder = new TextDecoder();
    let text = "";
    for await (const piece of body ?? []) {
      text += decoder.decode(piece, { stream: true });
      if (text.includes(": ping\n\n")) onPing();
    }
    return new Response(text);
  };

  it("gets headers and comments during a long prefill, and then its answer", async () => {
    prefill = gate();
    token = gate();
    token.open();
    const response = await site.post("/chat/completions", STREAM);
    expect(response.status).toBe(200);
    const { text, isDone } = await readStream(await pinged(response.body, prefill.open));
    expect({ text: text(), isDone }).toEqual({ text: "one two", isDone: true });
  });

  it("gets comments between tokens", async () => {
    prefill.open();
    token = gate();
    const response = await site.post("/chat/completions", STREAM);
    const { text, isDone } = await readStream(await pinged(response.body, token.open));
    expect({ text: text(), isDone }).toEqual({ text: "one two", isDone: true });
  });

  it("looks to the SDK like any other", async () => {
    prefill = gate();
    token = gate();
    const messages = [{ role: "user" as const, content: "one two" }];
    const stream = await site.client().chat.completions.create({ model: MODEL, messages, stream: true });
    prefill.open();
    token.open();
    const texts: string[] = [];
    for await (const chunk of stream) texts.push(chunk.choices[0]?.delta.content ?? "");
    expect(texts.join("")).toBe("one two");
  });
});

describe.each(sites)("S5 a client that leaves after three chunks, through $name", (site) => {
  const traffic = async (): Promise<Json> => {
    const status: Json = await (await fetch(`${host().url}/v1/system/status`)).json();
    return { ...status.traffic, active: status.engines[0].active };
  };

  it("frees the engine, and pays for the tokens that were made", async () => {
    prefill.open();
    token = gate();
    heldFrom = 3;
    const before = await traffic();
    let seen = 0;
    const stream = await site.post("/chat/completions", chat("one two three four five", { stream: true }));
    for await (const event of eventsOf(stream)) if (event.includes('"content":"') && ++seen === 3) break;
    await eventually(async () => expect(await traffic()).toMatchObject({ in_flight: 0, active: 0 }));
    expect((await traffic()).completion_tokens_total - before.completion_tokens_total).toBe(3);
    heldFrom = 0;
  });
});

describe.each(sites)("S1 a stream through $name", (site) => {
  it("has its first byte before the engine has its last token", async () => {
    prefill.open();
    token = gate();
    heldFrom = 1;
    const events = eventsOf(await site.post("/chat/completions", STREAM));
    await events.next();
    expect(JSON.parse((await events.next()).value ?? "").choices[0].delta).toEqual({ content: "one" });
    token.open();
    expect(JSON.parse((await events.next()).value ?? "").choices[0].delta).toEqual({ content: " two" });
    heldFrom = 0;
  });
});
