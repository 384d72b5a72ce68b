import { describe, expect, it } from "vitest";
import { dummy } from "../harness/app.ts";
import { chatCall, completionCall } from "../harness/calls.ts";
import { chat, type Json, MODEL, readStream } from "../harness/wire.ts";

const engine = dummy({ contextSize: 20 });
const answer = async (text: string, more: Json = {}): Promise<Json> =>
  (await engine.respond(chatCall(MODEL, chat(text, more)))).json();

describe("the dummy engine", () => {
  it("says the last message word by word, one word a token", async () => {
    const body = await answer("one  two\nthree");
    expect(body.choices[0]).toMatchObject({ message: { content: "one  two\nthree" }, finish_reason: "stop" });
    expect(body.usage).toMatchObject({ prompt_tokens: 3, completion_tokens: 3 });
  });

  it("says nothing to an empty message", async () => {
    const body = await answer("");
    expect(body.choices[0]).toMatchObject({ message: { content: "" }, finish_reason: "stop" });
  });

  it.each([
    ["inside a word", "xaby", ["b", "ab"], "x", 1],
    ["over two words", "one two three", ["ne tw"], "o", 2],
    ["at the very start", "one two", ["one"], "", 1],
    ["over three words", "a b c d", ["a b c"], "", 3],
    ["that does not come", "one two", ["two t"], "one two", 2],
    ["that is empty", "one two", [""], "one two", 2],
  ])(
    "ends before a stop string %s, and counts the tokens it took",
    async (_, text, stop, expected, tokens) => {
      const body = await answer(text, { stop });
      expect(body.choices[0].message.content).toBe(expected);
      expect(body.usage.completion_tokens).toBe(tokens);
      const stream = await readStream(
        await engine.respond(chatCall(MODEL, chat(text, { stop, stream: true }))),
      );
      expect(stream.text()).toBe(expected);
    },
  );

  it("fills its context to the last token, and says so", async () => {
    const text = Array(12).fill("w").join(" ");
    const body = await answer(text);
    expect(body.usage).toMatchObject({ prompt_tokens: 12, completion_tokens: 8 });
    expect(body.choices[0].finish_reason).toBe("length");
    await expect(answer(text, { max_tokens: 9 })).rejects.toMatchObject({ code: "context_length_exceeded" });
  });

  it("says token ids as numbers", async () => {
    const call = completionCall(MODEL, { prompt: [5, 6, 7], max_tokens: 2 });
    expect(((await (await engine.respond(call)).json()) as Json).choices[0].text).toBe("5 6");
  });
});
