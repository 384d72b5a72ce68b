import { describe, expect, it } from "vitest";
import { createBreaker } from "../../functions/backends/breaker.ts";
import type { Engine } from "../../shared/engine.ts";
import {
  ApiError,
  badGateway,
  contextLengthExceeded,
  overloaded,
  unavailable,
} from "../../shared/openai/errors.ts";
import { dummy, entryOf, testApp } from "../harness/app.ts";
import { chat, readStream } from "../harness/wire.ts";

const CHAT = "/v1/chat/completions";

/** A dummy under its own id that does as `answer` says and keeps count. */
function target(id: string, answer?: () => Promise<Response>): Engine & { calls: number } {
  const engine = dummy();
  const made = {
    ...engine,
    id,
    calls: 0,
    respond: (call: Parameters<Engine["respond"]>[0]) => {
      made.calls++;
      return answer?.() ?? engine.respond(call);
    },
  };
  return made;
}

/** Heavy enough to be drawn first, always: its weight is 10^12 times the other's. */
const FIRST = { weight: 1e6 };
const SECOND = { weight: 1e-6 };

describe("a call", () => {
  it.each([
    ["is unreachable", () => badGateway("down")],
    ["is overloaded", () => overloaded("busy", 1000)],
    ["is loading", () => unavailable("loading", 1000)],
    ["breaks", () => new Error("bug")],
  ])("goes on to the next target when the first one %s", async (_, failure) => {
    const [bad, good] = [target("bad", () => Promise.reject(failure())), target("good")];
    const app = testApp({ engines: [entryOf(bad, FIRST), entryOf(good, SECOND)] });
    for (const stream of [false, true]) {
      const response = await app.post(CHAT, chat("hello", { stream }));
      expect(response.status).toBe(200);
      expect(await response.text()).toContain("hello");
    }
    expect([bad.calls, good.calls]).toEqual([2, 2]);
    await app.settled();
    expect(app.receipts.map(({ outcome }) => outcome)).toEqual(["completed", "completed"]);
    expect(app.logs.join("\n")).toContain('"engine":"bad"');
  });

  it("fails with the last target's error when all do", async () => {
    const [one, two] = [
      target("one", () => Promise.reject(badGateway("one is down"))),
      target("two", () => Promise.reject(unavailable("two is loading", 2500))),
    ];
    const app = testApp({ engines: [entryOf(one, FIRST), entryOf(two, SECOND)] });
    const response = await app.post(CHAT, chat("x"));
    expect(response.status).toBe(503);
    expect(response.headers.get("retry-after")).toBe("3");
    expect(response.headers.get("retry-after-ms")).toBe("2500");
    expect((await response.json()).error.message).toBe("two is loading");
  });

  it("that is wrong itself is not tried elsewhere", async () => {
    const refusal = contextLengthExceeded({ contextSize: 4, promptTokens: 5, param: "messages" });
    const [bad, good] = [target("bad", () => Promise.reject(refusal)), target("good")];
    const app = testApp({ engines: [entryOf(bad, FIRST), entryOf(good, SECOND)] });
    expect((await app.post(CHAT, chat("x"))).status).toBe(400);
    expect(good.calls).toBe(0);
  });

  it("is not tried again once a byte was sent", async () => {
    const breaking = dummy({
      beforeToken: async (i) => (i === 1 ? Promise.reject(badGateway("died")) : undefined),
    });
    const good = target("good");
    const app = testApp({ engines: [entryOf(breaking, FIRST), entryOf(good, SECOND)] });
    const { error, text } = await readStream(await app.post(CHAT, chat("one two", { stream: true })));
    expect(text()).toBe("one");
    expect(error.message).toBe("died");
    expect(good.calls).toBe(0);
  });

  it("goes to the model's own name at each target, and answers with the client's", async () => {
    const models: string[] = [];
    const engine = dummy();
    const naming: Engine = {
      ...engine,
      respond: (call) => {
        models.push(call.model);
        return engine.respond({ ...call, model: "sluice-demo" });
      },
    };
    const app = testApp({
      engines: [entryOf(naming, { id: "gpt-x", as: "org/inner-name", aliases: ["alias"] })],
    });
    for (const model of ["gpt-x", "alias"]) {
      expect(await (await app.post(CHAT, chat("x", { model }))).json()).toMatchObject({ model });
    }
    expect(models).toEqual(["org/inner-name", "org/inner-name"]);
  });

  it("is shared out by weight, and never to a weight of 0", async () => {
    const [heavy, light, none] = [target("heavy"), target("light"), target("none")];
    const app = testApp({
      engines: [entryOf(heavy, { weight: 3 }), entryOf(light, { weight: 1 }), entryOf(none, { weight: 0 })],
    });
    for (let i = 0; i < 400; i++) await app.rawFetch(CHAT, jsonPost(chat("x")));
    expect(none.calls).toBe(0);
    expect(heavy.calls + light.calls).toBe(400);
    // 300 expected; ten standard deviations (8.7 each) away, so that it can't fail by chance.
    expect(heavy.calls).toBeGreaterThan(213);
    expect(heavy.calls).toBeLessThan(387);
  });
});

function jsonPost(body: unknown): RequestInit {
  return { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } };
}

describe("the breaker", () => {
  it("leaves a target alone that failed again and again, and lets one call try later", async () => {
    let now = 0;
    let isDown = true;
    const flaky = target("flaky", () =>
      isDown ? Promise.reject(badGateway("down")) : Promise.resolve(Response.json(ANSWER)),
    );
    const good = target("good");
    const app = testApp({ engines: [entryOf(flaky, FIRST), entryOf(good, SECOND)], now: () => now });
    const ask = async () => expect((await app.rawFetch(CHAT, jsonPost(chat("x")))).status).toBe(200);
    for (let i = 0; i < 8; i++) await ask();
    expect(flaky.calls).toBe(5);
    now += 10_000;
    await ask();
    await ask();
    expect(flaky.calls).toBe(6);
    isDown = false;
    now += 10_000;
    await ask();
    await ask();
    expect(flaky.calls).toBe(8);
  });

  it("tries an open target rather than fail", async () => {
    const down = () => Promise.reject(badGateway("down"));
    const [one, two] = [target("one", down), target("two", down)];
    const app = testApp({ engines: [entryOf(one), entryOf(two)], now: () => 0 });
    for (let i = 0; i < 7; i++) expect((await app.post(CHAT, chat("x"))).status).toBe(502);
    expect([one.calls, two.calls]).toEqual([7, 7]);
  });

  it("does not count what is the client's fault", async () => {
    const refusing = target("refusing", () => Promise.reject(new ApiError(400, "no")));
    const other = target("other");
    const app = testApp({ engines: [entryOf(refusing, FIRST), entryOf(other, SECOND)], now: () => 0 });
    for (let i = 0; i < 8; i++) expect((await app.post(CHAT, chat("x"))).status).toBe(400);
    expect(refusing.calls).toBe(8);
  });

  it("does not count that a model still loads", async () => {
    const loading = target("loading", () => Promise.reject(unavailable("loading", 1000)));
    const good = target("good");
    const app = testApp({ engines: [entryOf(loading, FIRST), entryOf(good, SECOND)], now: () => 0 });
    for (let i = 0; i < 8; i++) expect((await app.post(CHAT, chat("x"))).status).toBe(200);
    expect(loading.calls).toBe(8);
    expect(app.logs.join("\n")).not.toContain("engine failed");
  });

  it("counts a 503 that something broken is behind", async () => {
    const broken = target("broken", () => Promise.reject(unavailable("down", 1000, new Error("died"))));
    const good = target("good");
    const app = testApp({ engines: [entryOf(broken, FIRST), entryOf(good, SECOND)], now: () => 0 });
    for (let i = 0; i < 8; i++) expect((await app.post(CHAT, chat("x"))).status).toBe(200);
    expect(broken.calls).toBe(5);
  });

  it("opens at the threshold, half-opens after its time for one caller, closes on success", () => {
    let now = 0;
    const clock = { now: () => now, monotonic: () => now };
    const breaker = createBreaker(clock, { threshold: 2, openMs: 100 });
    breaker.failed("a");
    expect(breaker.isClosed("a")).toBe(true);
    breaker.failed("a");
    expect(breaker.isClosed("a")).toBe(false);
    expect(breaker.isClosed("b")).toBe(true);
    now = 100;
    expect([breaker.isClosed("a"), breaker.isClosed("a")]).toEqual([true, false]);
    breaker.failed("a");
    expect(breaker.isClosed("a")).toBe(false);
    now = 200;
    expect(breaker.isClosed("a")).toBe(true);
    breaker.succeeded("a");
    expect([breaker.isClosed("a"), breaker.isClosed("a")]).toEqual([true, true]);
  });
});

const ANSWER = { id: "chatcmpl-1", object: "chat.completion", created: 1, model: "m", choices: [] };
