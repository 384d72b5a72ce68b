import { describe, expect, it } from "vitest";
import { demoHost } from "../harness/demo-engine.ts";
import { type Site, useSites } from "../harness/sites.ts";
import { type Json, MODEL, readStream } from "../harness/wire.ts";

const { sites } = useSites(() => demoHost());

const PROMPT = "Sluice is";
const LONGER = "Sluice runs models on a laptop: no GPU, no account. 你好";

async function complete(site: Site, more: Record<string, unknown>): Promise<Json> {
  const response = await site.post("/completions", { model: MODEL, prompt: PROMPT, temperature: 0, ...more });
  expect(response.status).toBe(200);
  return response.json();
}

async function refusal(site: Site, more: Record<string, unknown>): Promise<Json> {
  const response = await site.post("/completions", { model: MODEL, prompt: PROMPT, ...more });
  expect(response.status).toBe(400);
  return (await response.json()).error;
}

/** As lm-evaluation-harness scores: the summed log probability of `continuation` behind `context`. */
async function loglikelihood(site: Site, context: string, continuation: string): Promise<number> {
  const body = { prompt: context + continuation, echo: true, logprobs: 1, max_tokens: 0 };
  const { text_offset, token_logprobs } = (await complete(site, body)).choices[0].logprobs;
  return token_logprobs
    .filter((_: Json, i: number) => text_offset[i] >= context.length)
    .reduce((sum: number, value: number) => sum + value, 0);
}

/** The four lists are of one length, cover the text, and the likeliest tokens stand beside each. */
function expectLists({ text, logprobs }: Json, top: number): void {
  const { tokens, token_logprobs, top_logprobs, text_offset } = logprobs;
  expect(tokens.join("")).toBe(text);
  expect([token_logprobs.length, top_logprobs.length, text_offset.length]).toEqual(
    Array(3).fill(tokens.length),
  );
  let offset = 0;
  for (const [i, token] of tokens.entries()) {
    expect(text_offset[i]).toBe(offset);
    offset += token.length;
    if (token_logprobs[i] === null) continue;
    expect(token_logprobs[i]).toBeLessThanOrEqual(0);
    expect(top_logprobs[i]).toHaveProperty([token], token_logprobs[i]);
    const count = Object.keys(top_logprobs[i]).length;
    expect([Math.max(1, top), top + 1], "the top ones, and the token itself").toContain(count);
  }
}

describe.each(sites)("text completions through $name", (site) => {
  it("P2 echo with logprobs and no new tokens scores the prompt itself", async () => {
    const { choices, usage } = await complete(site, {
      echo: true,
      logprobs: 2,
      max_tokens: 0,
      prompt: LONGER,
    });
    const [choice] = choices;
    expect(choice.text).toBe(LONGER);
    expectLists(choice, 2);
    const { tokens, token_logprobs, top_logprobs } = choice.logprobs;
    expect([token_logprobs[0], top_logprobs[0]]).toEqual([null, null]);
    expect(token_logprobs.slice(1)).not.toContain(null);
    expect(usage).toMatchObject({ prompt_tokens: tokens.length, completion_tokens: 0 });
  });

  it("P2 echo goes on into the completion, whose scores are the same as without", async () => {
    const [plain] = (await complete(site, { logprobs: 2, max_tokens: 6 })).choices;
    expectLists(plain, 2);
    const [echoed] = (await complete(site, { echo: true, logprobs: 2, max_tokens: 6 })).choices;
    expectLists(echoed, 2);
    expect(echoed.text).toBe(PROMPT + plain.text);
    expect(echoed.logprobs.tokens.slice(-6)).toEqual(plain.logprobs.tokens);
    for (const [i, value] of plain.logprobs.token_logprobs.entries())
      expect(echoed.logprobs.token_logprobs.at(i - 6)).toBeCloseTo(value, 2);
  });

  it("P2 what was generated has the same scores when it is read back as a prompt", async () => {
    const [made] = (await complete(site, { logprobs: 2, max_tokens: 6 })).choices;
    const [read] = (
      await complete(site, { echo: true, prompt: PROMPT + made.text, logprobs: 2, max_tokens: 0 })
    ).choices;
    expect(read.logprobs.tokens.slice(-6)).toEqual(made.logprobs.tokens);
    for (const [i, value] of made.logprobs.token_logprobs.entries())
      expect(read.logprobs.token_logprobs.at(i - 6)).toBeCloseTo(value, 2);
  });

  it("P2 a likely continuation beats unlikely ones", async () => {
    const [{ text }] = (await complete(site, { max_tokens: 8 })).choices;
    const likely = await loglikelihood(site, PROMPT, text);
    const words = text.split(" ");
    for (const unlikely of [words.toReversed().join(" "), " purple elephants dance", " 你好你好"])
      expect(likely, unlikely).toBeGreaterThan((await loglikelihood(site, PROMPT, unlikely)) + 5);
  });

  it("P2 echo without logprobs gives the prompt and the completion, at once and streamed", async () => {
    const [plain] = (await complete(site, { max_tokens: 4 })).choices;
    const [echoed] = (await complete(site, { echo: true, max_tokens: 4 })).choices;
    expect(echoed).toMatchObject({ text: PROMPT + plain.text, logprobs: null });
    const body = { model: MODEL, prompt: PROMPT, temperature: 0, echo: true, max_tokens: 4, stream: true };
    expect((await readStream(await site.post("/completions", body))).text()).toBe(PROMPT + plain.text);
  });

  it("P2 streamed scores are those of the answer at once, their offsets counted through", async () => {
    const asked = { echo: true, logprobs: 2, max_tokens: 5 };
    const [{ logprobs: whole }] = (await complete(site, asked)).choices;
    const body = { model: MODEL, prompt: PROMPT, temperature: 0, ...asked, stream: true };
    const { chunks } = await readStream(await site.post("/completions", body));
    const pieces = chunks.map(({ choices }) => choices[0].logprobs).filter((piece) => piece !== null);
    for (const list of ["tokens", "text_offset"])
      expect(pieces.flatMap((piece) => piece[list])).toEqual(whole[list]);
    expect(pieces.flatMap((piece) => piece.token_logprobs)[0]).toBeNull();
  });

  it("P2 every prompt of several has its own scores", async () => {
    const prompt = [PROMPT, LONGER];
    const { choices } = await complete(site, { echo: true, prompt, logprobs: 1, max_tokens: 0 });
    expect(choices.map(({ text }: Json) => text)).toEqual(prompt);
    for (const choice of choices) expectLists(choice, 1);
  });

  it("P3 suffix is refused by a model without infill tokens", async () => {
    expect(await refusal(site, { suffix: " end" })).toEqual({
      message: expect.stringContaining("suffix"),
      type: "invalid_request_error",
      param: "suffix",
      code: "unsupported_parameter",
    });
  });

  it("P3 best_of above n answers the likeliest, and counts all that was made", async () => {
    const asked = { temperature: 1.5, seed: 3, max_tokens: 6, logprobs: 0 };
    const { choices: all } = await complete(site, { ...asked, n: 3 });
    const best = await complete(site, { ...asked, best_of: 3, n: 1 });
    const mean = ({ logprobs }: Json) =>
      logprobs.token_logprobs.reduce((sum: number, value: number) => sum + value, 0) / logprobs.tokens.length;
    const [likeliest] = all.toSorted((a: Json, b: Json) => mean(b) - mean(a));
    expect(best.choices).toHaveLength(1);
    expect(best.choices[0]).toMatchObject({ index: 0, text: likeliest.text });
    const made = all.reduce((sum: number, { logprobs }: Json) => sum + logprobs.tokens.length, 0);
    expect(best.usage.completion_tokens).toBeGreaterThanOrEqual(made);
  });

  it("P3 best_of 2 with n 1 is one choice, without scores when none were asked for", async () => {
    const { choices } = await complete(site, { best_of: 2, n: 1, max_tokens: 4 });
    expect(choices).toHaveLength(1);
    expect(choices[0]).toMatchObject({ index: 0, logprobs: null });
  });

  it.each([
    { what: "best_of below n", more: { best_of: 1, n: 2 } },
    { what: "best_of with stream", more: { best_of: 2, stream: true } },
    { what: "best_of above 20", more: { best_of: 21 } },
  ])("P3 $what is refused", async ({ more }) => {
    expect(await refusal(site, more)).toEqual({
      message: expect.stringContaining("best_of"),
      type: "invalid_request_error",
      param: "best_of",
      code: "invalid_value",
    });
  });
});
