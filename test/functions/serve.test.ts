import { describe, expect, it, vi } from "vitest";
import { LEASE_MS } from "../../functions/admit.ts";
import type { Engine, EngineCall } from "../../shared/engine.ts";
import type { Ledger } from "../../shared/ledger.ts";
import { ApiError } from "../../shared/openai/errors.ts";
import { NO_USAGE, type Usage } from "../../shared/openai/usage.ts";
import { FREE, toPrice, worstCaseNanoUsd } from "../../shared/pricing.ts";
import { dummy, entryOf, memoryStore, PREPAID, PREPAID_KEY, testApp } from "../harness/app.ts";
import { chat, eventsOf, gate, MODEL, readStream } from "../harness/wire.ts";

const CHAT = "/v1/chat/completions";
/** A thousand and two thousand nano-dollars a token. */
const PRICE = toPrice({ prompt: 1, completion: 2 });

/** A dummy that keeps what it was asked. */
function recording(): Engine & { readonly calls: EngineCall[] } {
  const engine = dummy();
  const calls: EngineCall[] = [];
  return {
    ...engine,
    calls,
    respond: (call) => {
      calls.push(call);
      return engine.respond(call);
    },
  };
}

describe("room", () => {
  it("is refused with 429 and a time to retry when all places are taken, and nothing is held", async () => {
    const held = gate();
    const engine = dummy({ beforeToken: () => held.opened });
    const app = testApp({ engines: [entryOf(engine)], config: { limits: { inFlight: 1 } } });
    const first = await app.post(CHAT, chat("x", { stream: true }));
    const refused = await app.post(CHAT, chat("x"));
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(Number(refused.headers.get("retry-after-ms"))).toBeGreaterThan(0);
    expect((await refused.json()).error).toMatchObject({ type: "requests", code: "rate_limit_exceeded" });
    expect(app.holds).toHaveLength(1);
    held.open();
    await readStream(first);
    expect((await app.post(CHAT, chat("x"))).status).toBe(200);
  });

  it("is counted from the start, also while the ledger takes its time", async () => {
    const slow = gate();
    const store = memoryStore();
    const hold: Ledger["hold"] = async (asked) => {
      await slow.opened;
      return await store.ledger.hold(asked);
    };
    const app = testApp({ store, ledger: { hold }, config: { limits: { inFlight: 1 } } });
    const answers = [app.post(CHAT, chat("x")), app.post(CHAT, chat("x"))];
    // The second is refused while the first still waits for the ledger.
    expect((await Promise.race(answers)).status).toBe(429);
    slow.open();
    expect((await Promise.all(answers)).map(({ status }) => status).sort()).toEqual([200, 429]);
    expect((await app.post(CHAT, chat("x"))).status).toBe(200);
  });

  it("is free again after a refusal by the ledger, an engine's error and a client's abort", async () => {
    const engine = dummy();
    const failing: Engine = { ...engine, respond: () => Promise.reject(new ApiError(400, "no")) };
    const app = testApp({
      engines: [entryOf(engine, { price: PRICE }), entryOf(failing, { id: "failing" })],
      credit: 1,
      config: { limits: { inFlight: 1 } },
    });
    expect((await app.post(CHAT, chat("x"))).status).toBe(429);
    expect((await app.post(CHAT, chat("x", { model: "failing" }))).status).toBe(400);
    expect((await app.post(CHAT, chat("x", { model: "failing" }))).status).toBe(400);
  });
});

describe("money", () => {
  it("is refused with 429 that says not to retry when the balance is short, and nothing is held", async () => {
    const engine = recording();
    const app = testApp({ engines: [entryOf(engine, { price: PRICE })], credit: 100 });
    const refused = await app.post(CHAT, chat("x", { max_tokens: 5 }));
    expect(refused.status).toBe(429);
    expect(refused.headers.get("x-should-retry")).toBe("false");
    expect(refused.headers.get("retry-after")).toBeNull();
    expect((await refused.json()).error).toEqual({
      message: expect.stringContaining("balance"),
      type: "insufficient_quota",
      code: "insufficient_quota",
      param: null,
    });
    expect(engine.calls).toEqual([]);
    expect(await app.ledger.balance(PREPAID)).toEqual({
      creditedNanoUsd: 100,
      availableNanoUsd: 100,
      heldNanoUsd: 0,
      spentNanoUsd: 0,
    });
  });

  it("is charged once for what was used, and the rest is freed", async () => {
    const app = testApp({ engines: [entryOf(dummy(), { price: PRICE })], credit: 10 ** 9 });
    await (await app.post(CHAT, chat("one two three", { max_tokens: 5 }))).text();
    const cost = 3 * 1000 + 3 * 2000;
    expect(app.receipts).toMatchObject([
      { outcome: "completed", source: "engine", costNanoUsd: cost, model: MODEL },
    ]);
    expect(await app.ledger.balance(PREPAID)).toEqual({
      creditedNanoUsd: 10 ** 9,
      availableNanoUsd: 10 ** 9 - cost,
      heldNanoUsd: 0,
      spentNanoUsd: cost,
    });
  });

  it("is charged for what a client that left had received", async () => {
    const held = gate();
    const engine = dummy({ beforeToken: (index) => (index < 2 ? Promise.resolve() : held.opened) });
    const app = testApp({ engines: [entryOf(engine, { price: PRICE })], credit: 10 ** 9 });
    const asked = chat("one two three four", { stream: true, max_tokens: 9 });
    let seen = 0;
    for await (const _ of eventsOf(await app.post(CHAT, asked))) if (++seen === 3) break;
    held.open();
    await app.settled();
    expect(app.receipts).toMatchObject([
      { outcome: "client_aborted", usage: { promptTokens: 4, completionTokens: 2 }, costNanoUsd: 8000 },
    ]);
  });

  it("is freed whole when no engine took the request", async () => {
    const failing: Engine = { ...dummy(), respond: () => Promise.reject(new ApiError(503, "down")) };
    const app = testApp({ engines: [entryOf(failing, { price: PRICE })], credit: 10 ** 9 });
    for (const stream of [false, true]) {
      expect((await app.post(CHAT, chat("x", { stream, max_tokens: 5 }))).status).toBe(503);
    }
    await app.settled();
    expect(app.voided).toEqual(app.holds.map(({ requestId }) => requestId));
    expect(app.receipts).toEqual([]);
    expect(await app.ledger.balance(PREPAID)).toMatchObject({ heldNanoUsd: 0, spentNanoUsd: 0 });
  });

  it("has a receipt also for an answer whose tokens nobody counted", async () => {
    const silent: Engine = { ...dummy(), respond: async () => Response.json({ object: "list", data: [] }) };
    const app = testApp({ engines: [entryOf(silent, { price: PRICE })] });
    await app.rawFetch("/v1/embeddings", {
      method: "POST",
      body: JSON.stringify({ model: MODEL, input: "x" }),
      headers: { "content-type": "application/json" },
    });
    expect(app.receipts).toMatchObject([{ outcome: "completed", costNanoUsd: 0 }]);
  });

  it("is kept apart for requests that carry the same id", async () => {
    const app = testApp();
    const headers = { "x-request-id": "same" };
    for (let i = 0; i < 2; i++) expect((await app.post(CHAT, chat("x"), { headers })).status).toBe(200);
    expect(app.receipts).toHaveLength(2);
  });

  it("is noted while a long stream runs, so that a crash charges what was made", async () => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
    try {
      const held = gate();
      const engine = dummy({ beforeToken: (index) => (index < 2 ? Promise.resolve() : held.opened) });
      const app = testApp({ engines: [entryOf(engine, { price: PRICE })], credit: 10 ** 9 });
      const asked = chat("one two three", { stream: true, max_tokens: 9 });
      const events = eventsOf(await app.post(CHAT, asked));
      for (let i = 0; i < 3; i++) await events.next();
      vi.advanceTimersByTime(LEASE_MS / 2);
      expect(await app.ledger.sweep(Date.now() + 2 * LEASE_MS)).toBe(1);
      expect(await app.ledger.balance(PREPAID)).toMatchObject({
        heldNanoUsd: 0,
        spentNanoUsd: 3000 + 2 * 2000,
      });
      held.open();
      await events.return();
    } finally {
      vi.useRealTimers();
    }
  });

  it.each([
    ["an answer in one piece", { stream: false }],
    ["a stream whose headers wait for its engine", { stream: true }],
  ])("is held as long as a slow engine works: %s", async (_, { stream }) => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "Date"] });
    try {
      const [held, asked] = [gate(), gate()];
      const engine = dummy();
      const respond: Engine["respond"] = async (call) => {
        asked.open();
        await held.opened;
        return await engine.respond(call);
      };
      const app = testApp({
        engines: [entryOf({ ...engine, respond }, { price: PRICE })],
        credit: 10 ** 9,
        config: { limits: { keepAliveMs: 0 } },
      });
      const answer = app.post(CHAT, chat("one two three", { stream, max_tokens: 9 }));
      await asked.opened;
      for (let i = 0; i < 4; i++) {
        await vi.advanceTimersByTimeAsync(LEASE_MS / 2);
        expect(await app.ledger.sweep(Date.now())).toBe(0);
      }
      held.open();
      await (await answer).text();
      await app.settled();
      expect(app.receipts).toMatchObject([{ outcome: "completed", costNanoUsd: 3 * 1000 + 3 * 2000 }]);
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });

  it("is never more than was held; an engine that passed the cap it was sent is logged", async () => {
    const usage = { ...NO_USAGE, promptTokens: 3, completionTokens: 100_000 };
    const engine: Engine = {
      ...dummy(),
      async respond({ report }) {
        report.read = () => ({ usage, source: "engine" });
        return Response.json({});
      },
    };
    const app = testApp({ engines: [entryOf(engine, { price: PRICE })], credit: 10 ** 9 });
    await app.rawFetch(CHAT, {
      method: "POST",
      body: JSON.stringify(chat("x", { max_tokens: 1 })),
      headers: { "content-type": "application/json", authorization: `Bearer ${PREPAID_KEY}` },
    });
    expect(app.receipts[0]?.costNanoUsd).toBe(app.holds[0]?.amount);
    expect(app.logs.join("\n")).toMatch(/more than was held.*"completionTokens":100000/);
  });

  it("that can't be written down costs the client nothing but is logged", async () => {
    const app = testApp({ ledger: { settle: () => Promise.reject(new Error("disk full")) } });
    expect((await app.post(CHAT, chat("x"))).status).toBe(200);
    expect(app.logs.join("\n")).toContain("disk full");
  });
});

it("is served where the ledger was asked twice for its hold, because the first answer was lost on the way", async () => {
  const store = memoryStore();
  const hold: Ledger["hold"] = async (asked) => {
    await store.ledger.hold(asked);
    return await store.ledger.hold(asked);
  };
  const app = testApp({ store, ledger: { hold }, credit: 10 ** 9 });
  expect((await app.post(CHAT, chat("x"))).status).toBe(200);
  expect(app.receipts).toHaveLength(1);
});

describe("a stream that a killed process would forget", () => {
  it.each([
    { isDistant: false, noted: [{ promptTokens: 2, completionTokens: 1 }] },
    { isDistant: true, noted: [] },
  ])("is noted with its first token where that is no round trip (distant: $isDistant)", async (expected) => {
    const held = gate();
    const engine = dummy({ beforeToken: async (index) => (index === 1 ? held.opened : undefined) });
    const noted: Usage[] = [];
    const checkpoint: Ledger["checkpoint"] = async (_, { usage }) => void noted.push(usage);
    const store = { ...memoryStore(), isDistant: expected.isDistant };
    const app = testApp({ engines: [entryOf(engine)], store, ledger: { checkpoint } });
    const response = await app.post(CHAT, chat("one two", { stream: true }));
    const reader = response.body?.getReader();
    for (let text = ""; !text.includes("one"); )
      text += new TextDecoder().decode((await reader?.read())?.value);
    expect(noted).toMatchObject(expected.noted);
    expect(noted).toHaveLength(expected.noted.length);
    held.open();
    await reader?.cancel();
  });
});

describe("an Idempotency-Key", () => {
  const headers = { "idempotency-key": "order-17" };

  it("gives a client's retry the first answer and the first receipt, and bills once", async () => {
    const app = testApp({ engines: [entryOf(dummy(), { price: PRICE })], credit: 10 ** 9 });
    const [first, again] = [
      await app.post(CHAT, chat("x"), { headers }),
      await app.post(CHAT, chat("x"), { headers }),
    ];
    expect(await again.json()).toEqual(await first.json());
    expect(again.headers.get("x-sluice-receipt")).toBe(first.headers.get("x-sluice-receipt"));
    expect(again.headers.get("idempotent-replayed")).toBe("true");
    expect(app.receipts).toHaveLength(1);
    expect((await app.post(CHAT, chat("y"), { headers })).status).toBe(422);
  });

  it("gives the first answer also to a retry that was on its way when the first one ended", async () => {
    const [first, late] = [gate(), gate()];
    const store = memoryStore();
    let holds = 0;
    const hold: Ledger["hold"] = async (asked) => {
      if (++holds === 2) {
        late.open();
        await first.opened;
      }
      return await store.ledger.hold(asked);
    };
    const settle: Ledger["settle"] = async (ref, settlement) => {
      const receipt = await store.ledger.settle(ref, settlement);
      first.open();
      return receipt;
    };
    const held = gate();
    const engine = dummy({ beforeToken: () => held.opened });
    const app = testApp({ store, ledger: { hold, settle }, engines: [entryOf(engine)] });
    const answers = [app.post(CHAT, chat("x"), { headers }), app.post(CHAT, chat("x"), { headers })];
    await late.opened;
    held.open();
    const [one, two] = await Promise.all(answers);
    expect(two?.status).toBe(200);
    expect(await two?.json()).toEqual(await one?.json());
    expect(app.receipts).toHaveLength(1);
  });

  it("whose answer can't be kept is served all the same, and never billed twice", async () => {
    const answers = { get: async () => undefined, put: () => Promise.reject(new Error("cache is full")) };
    const app = testApp({ engines: [entryOf(dummy(), { price: PRICE })], credit: 10 ** 9, answers });
    expect((await app.post(CHAT, chat("x"), { headers })).status).toBe(200);
    const again = await app.post(CHAT, chat("x"), { headers });
    expect(again.status).toBe(409);
    expect((await again.json()).error.code).toBe("idempotency_key_used");
    expect(app.receipts).toHaveLength(1);
    expect(app.logs.join("\n")).toContain("cache is full");
  });
});

describe("what is held is the most that a request can cost", () => {
  const bound = async (path: string, body: Record<string, unknown>, maxTokens?: number) => {
    const engine = recording();
    const cap = maxTokens === undefined ? {} : { maxTokens };
    const app = testApp({ engines: [entryOf(engine, { price: PRICE, ...cap })] });
    expect((await app.post(path, body)).status).toBe(200);
    const hold = app.holds[0];
    const prompt = worstCaseNanoUsd(PRICE, JSON.stringify(body).length * 3, 0);
    return { completionTokens: ((hold?.amount ?? 0) - prompt) / 2000, call: engine.calls[0], app };
  };
  const COMPLETIONS = "/v1/completions";

  it.each([
    ["max_tokens", CHAT, chat("x", { max_tokens: 7 }), 7],
    ["max_completion_tokens, which wins", CHAT, chat("x", { max_tokens: 1, max_completion_tokens: 7 }), 7],
    ["n choices", CHAT, chat("x", { max_tokens: 7, n: 3 }), 21],
    ["a completion", COMPLETIONS, { model: MODEL, prompt: "x", max_tokens: 7 }, 7],
    ["n choices of each prompt", COMPLETIONS, { model: MODEL, prompt: ["x", "y"], max_tokens: 7, n: 3 }, 42],
    ["a completion without limit: OpenAI's 16", COMPLETIONS, { model: MODEL, prompt: "x" }, 16],
    ["embeddings", "/v1/embeddings", { model: MODEL, input: "x" }, 0],
  ])("by %s", async (_, path, body, expected) => {
    expect((await bound(path, body)).completionTokens).toBe(expected);
  });

  it.each([
    [CHAT, chat("x", { max_tokens: Number.MAX_SAFE_INTEGER })],
    [CHAT, chat("x", { max_completion_tokens: 10 ** 9, n: 2 })],
    [COMPLETIONS, { model: MODEL, prompt: ["x", "y"], max_tokens: 10 ** 9 }],
  ])("so that no request may ask for more than a billion tokens: %s %j", async (path, body) => {
    for (const price of [FREE, PRICE]) {
      const app = testApp({ engines: [entryOf(dummy(), { price })] });
      const refused = await app.post(path, body);
      expect(refused.status).toBe(400);
      expect((await refused.json()).error).toMatchObject({
        message: expect.stringContaining("1000000000"),
        param: "max_completion_tokens" in body ? "max_completion_tokens" : "max_tokens",
      });
      expect(app.holds).toEqual([]);
    }
  });

  it("of two caps by the larger: a backend may know either", async () => {
    const both = chat("x", { max_tokens: 50, max_completion_tokens: 7 });
    expect((await bound(CHAT, both)).completionTokens).toBe(50);
  });

  it.each(["n_predict", "max_new_tokens"])(
    "so that `%s`, a backend's own word for it, is refused",
    async (name) => {
      const engine = recording();
      const app = testApp({ engines: [entryOf(engine, { price: PRICE })] });
      for (const [path, body] of [
        [CHAT, chat("x", { max_tokens: 7, [name]: 100_000 })],
        [COMPLETIONS, { model: MODEL, prompt: "x", max_tokens: 7, [name]: 100_000 }],
      ] as const) {
        const refused = await app.post(path, body);
        expect(refused.status).toBe(400);
        expect((await refused.json()).error).toMatchObject({
          message: expect.stringContaining("`max_tokens`"),
          param: name,
        });
      }
      expect(engine.calls).toEqual([]);
    },
  );

  it("whatever fields of other routes a client adds", async () => {
    const asChat = chat("x", { max_tokens: 7, input: "x", prompt: "x" });
    expect((await bound(CHAT, asChat)).completionTokens).toBe(7);
    const asCompletion = { model: MODEL, prompt: "x", max_tokens: 7, max_completion_tokens: 1, messages: [] };
    expect((await bound(COMPLETIONS, asCompletion)).completionTokens).toBe(7);
  });

  it.each([
    [CHAT, chat("x")],
    [COMPLETIONS, { model: MODEL, prompt: "x" }],
  ])("and the cap that it rests on is sent to the engine: %s", async (path, body) => {
    const { completionTokens, call } = await bound(path, body, 9);
    expect(completionTokens).toBe(9);
    expect(call?.body).toMatchObject({ max_tokens: 9 });
  });
});

describe("where nobody says how many tokens a chat may have", () => {
  const sized = (contextSize?: number) => {
    const engine = recording();
    const model = {
      id: MODEL,
      created: 0,
      ownedBy: "test",
      ...(contextSize === undefined ? {} : { contextSize }),
    };
    let listings = 0;
    const models = async () => {
      listings++;
      return [model];
    };
    return { engine: { ...engine, models }, calls: engine.calls, listings: () => listings };
  };

  it("the context of this host's engine bounds what is held, and nothing is sent", async () => {
    const { engine, calls } = sized(512);
    const app = testApp({ engines: [entryOf(engine, { price: PRICE })] });
    await app.post(CHAT, chat("x"));
    const bytes = JSON.stringify(chat("x")).length * 3;
    expect(app.holds[0]?.tokens).toBe(bytes + 512);
    expect(calls[0]?.body).not.toHaveProperty("max_tokens");
  });

  it("4096 are held and sent where the context isn't known", async () => {
    const { engine, calls } = sized();
    const app = testApp({ engines: [entryOf(engine, { price: PRICE })] });
    await app.post(CHAT, chat("x"));
    expect(app.holds[0]?.tokens).toBeGreaterThan(4096);
    expect(calls[0]?.body).toMatchObject({ max_tokens: 4096 });
  });

  it("a model without a price needs no bound: its engine is not asked for one", async () => {
    const { engine, listings } = sized(512);
    const app = testApp({ engines: [entryOf(engine)] });
    await app.post(CHAT, chat("x"));
    expect(app.holds[0]?.tokens).toBeLessThan(512);
    expect(listings()).toBe(0);
  });
});

it.each([
  ["longer than any", "m".repeat(257)],
  ["with a NUL, which PostgreSQL keeps in no text", "a\u0000b"],
])("a model's name is written down where a backend takes any: not one that is %s", async (_, model) => {
  const engine = recording();
  const app = testApp({ engines: [{ engine, serves: "any", price: PRICE }] });
  for (const [path, body] of [
    [CHAT, chat("x", { model })],
    ["/v1/completions", { model, prompt: "x" }],
    ["/v1/embeddings", { model, input: "x" }],
  ] as const) {
    const refused = await app.post(path, body);
    expect(refused.status).toBe(400);
    expect((await refused.json()).error).toMatchObject({ param: "model" });
  }
  expect([app.holds, engine.calls]).toEqual([[], []]);
});

it("a limit on any of a model's names counts, whichever of them is asked for", async () => {
  for (const limited of [MODEL, "gpt-alias"]) {
    const modelLimits = { [limited]: { requestsPerMinute: 2 } };
    const app = testApp({
      engines: [entryOf(dummy(), { aliases: ["gpt-alias"] })],
      config: { auth: "required", keys: [{ id: "k", key: PREPAID_KEY, modelLimits }] },
    });
    const headers = { authorization: `Bearer ${PREPAID_KEY}` };
    const ask = async (model: string) => (await app.post(CHAT, chat("x", { model }), { headers })).status;
    expect([await ask("gpt-alias"), await ask(MODEL)], limited).toEqual([200, 200]);
    expect([await ask("gpt-alias"), await ask(MODEL)], limited).toEqual([429, 429]);
  }
});

describe("what goes wrong inside", () => {
  const SECRET = "sk-verysecret at /home/me/app.ts";
  it.each([false, true])("is a 500 that tells nothing of it (stream: %s)", async (stream) => {
    const broken: Engine = { ...dummy(), respond: () => Promise.reject(new Error(SECRET)) };
    const app = testApp({ engines: [entryOf(broken)] });
    const response = await app.post(CHAT, chat("x", { stream }));
    const text = await response.text();
    expect(response.status).toBe(500);
    expect(text).not.toMatch(/verysecret|home|\.ts|stack/);
    expect(JSON.parse(text).error).toMatchObject({ type: "server_error", code: null });
    expect(app.logs.join("\n")).toContain("verysecret");
  });

  it("is logged with its stack; a refusal that was meant with its reason alone", async () => {
    const log = async (thrown: Error) => {
      const failing: Engine = { ...dummy(), respond: () => Promise.reject(thrown) };
      const app = testApp({ engines: [entryOf(failing)] });
      await app.post(CHAT, chat("x"));
      return app.logs.filter((line) => line.startsWith("request ")).join("\n");
    };
    expect(await log(new Error("a bug"))).toMatch(/^request failed .*a bug.*"stack":"Error: a bug\\n +at /);
    const refused = await log(new ApiError(503, "It loads.", { cause: new Error("no room") }));
    expect(refused).toMatch(/^request refused .*It loads\..*"cause":"Error: no room"/);
    expect(refused).not.toContain("    at ");
  });

  it("is an error event that tells nothing of it once a stream runs", async () => {
    const breaking = dummy({
      beforeToken: async (index) => (index === 1 ? Promise.reject(new Error(SECRET)) : undefined),
    });
    const app = testApp({ engines: [entryOf(breaking)] });
    const { error, isDone, text } = await readStream(await app.post(CHAT, chat("one two", { stream: true })));
    expect(text()).toBe("one");
    expect(error).toMatchObject({ type: "server_error" });
    expect(JSON.stringify(error)).not.toMatch(/verysecret|home/);
    expect(isDone).toBe(false);
    await app.settled();
    expect(app.receipts).toMatchObject([{ outcome: "upstream_error", usage: { completionTokens: 1 } }]);
  });
});
