import { describe, expect, it } from "vitest";
import { toPrice } from "../../shared/pricing.ts";
import { dummy, entryOf, PREPAID_KEY, testApp } from "../harness/app.ts";
import { chat } from "../harness/wire.ts";

const CHAT = "/v1/chat/completions";

/** An app where everything after the body goes wrong: no money, and a context of 3 tokens. */
function strictest() {
  return testApp({
    engines: [entryOf(dummy({ contextSize: 3 }), { price: toPrice({ prompt: 1, completion: 1 }) })],
    credit: 0,
    config: { limits: { bodyBytes: 1024 } },
  });
}

describe("of several faults, the first in OpenAI's order is told", () => {
  const long = "one two three four";
  it.each<[string, string, number, object]>([
    ["the size before the form", `{${" ".repeat(2000)}`, 413, { code: null }],
    ["the form before the fields", "{", 400, { param: null }],
    [
      "the fields before the model",
      JSON.stringify(chat(long, { temperature: 9, model: "x" })),
      400,
      { param: "temperature" },
    ],
    [
      "the model before the money",
      JSON.stringify(chat(long, { model: "x" })),
      404,
      { code: "model_not_found" },
    ],
    ["the money before the context", JSON.stringify(chat(long)), 429, { code: "insufficient_quota" }],
  ])("%s", async (_, body, status, error) => {
    const app = strictest();
    const response = await app.fetch(CHAT, {
      method: "POST",
      body,
      headers: {
        "content-type": "application/json",
        "content-length": String(body.length),
        authorization: `Bearer ${PREPAID_KEY}`,
      },
    });
    expect(response.status).toBe(status);
    expect((await response.json()).error).toMatchObject(error);
    expect(app.holds).toEqual([]);
  });
});

describe("pages of other origins", () => {
  const ask = (origins: readonly string[], origin: string) =>
    testApp({ config: { cors: { origins } } }).post(CHAT, chat("x"), {
      headers: { "content-type": "application/json", origin },
    });

  it.each([
    [["https://a.example"], "https://a.example", "https://a.example"],
    [["https://a.example", "https://b.example"], "https://b.example", "https://b.example"],
    [["https://a.example"], "https://evil.example", null],
    [["https://a.example"], "https://a.example.evil.example", null],
    [[], "https://a.example", null],
    [["https://a.example", "*"], "https://any.example", "*"],
  ])("where %j may call, %s gets %s", async (origins, origin, allowed) => {
    const response = await ask(origins, origin);
    expect(response.headers.get("access-control-allow-origin")).toBe(allowed);
    expect(response.status).toBe(200);
  });
});
