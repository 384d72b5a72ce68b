import fc from "fast-check";
import { expect, it } from "vitest";
import type { Engine } from "../../shared/engine.ts";
import { ApiError } from "../../shared/openai/errors.ts";
import { toPrice } from "../../shared/pricing.ts";
import { ADMIN_KEY, dummy, entryOf, PREPAID, testApp } from "../harness/app.ts";
import { chat, eventsOf } from "../harness/wire.ts";

const CREDIT = 10 ** 9;
const PRICE = toPrice({ prompt: 1, completion: 2 });
const WORDS = 8;

/** What becomes of one request: it is streamed or not, its engine breaks, its client leaves, or none of it. */
const fate = fc.record({
  stream: fc.boolean(),
  n: fc.integer({ min: 1, max: 3 }),
  refusal: fc.option(fc.constantFrom(400, 429, 503), { freq: 6, nil: undefined }),
  breaksAt: fc.option(fc.nat(WORDS), { freq: 3, nil: undefined }),
  leavesAfter: fc.option(fc.nat(2 * WORDS), { freq: 3, nil: undefined }),
});
type Fate = typeof fate extends fc.Arbitrary<infer T> ? T : never;

/** An engine whose every call meets the fate that its first word numbers. */
function fatefulEngine(fates: readonly Fate[]): Engine {
  const engines = fates.map(({ breaksAt, refusal }) => {
    const engine = dummy({
      beforeToken: async (index) => {
        if (index === breaksAt) throw new Error("the engine broke");
      },
    });
    if (refusal === undefined) return engine;
    return { ...engine, respond: () => Promise.reject(new ApiError(refusal, "refused")) };
  });
  return {
    ...dummy(),
    respond: (call) => {
      const engine = call.route === "chat" ? engines[Number(call.body.user)] : undefined;
      if (engine === undefined) throw new Error("A request without a fate");
      return engine.respond(call);
    },
  };
}

it("every request ends in exactly one receipt or none at all, whatever happens to it", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fate, { minLength: 1, maxLength: 12 }), async (fates) => {
      const app = testApp({ engines: [entryOf(fatefulEngine(fates), { price: PRICE })], credit: CREDIT });
      await Promise.all(fates.map((each, i) => live(app, each, i)));
      await app.settled();

      const ended = [...app.receipts.map(({ requestId }) => requestId), ...app.voided];
      expect([...ended].sort()).toEqual(app.holds.map(({ requestId }) => requestId).sort());
      const { availableNanoUsd, heldNanoUsd, spentNanoUsd } = await app.ledger.balance(PREPAID);
      expect(heldNanoUsd).toBe(0);
      expect(availableNanoUsd + spentNanoUsd).toBe(CREDIT);
      expect(spentNanoUsd).toBe(app.receipts.reduce((sum, { costNanoUsd }) => sum + costNanoUsd, 0));
      for (const { usage } of app.receipts) expect(usage.completionTokens).toBeLessThanOrEqual(3 * WORDS);
      const headers = { authorization: `Bearer ${ADMIN_KEY}` };
      const { traffic } = await (await app.rawFetch("/v1/system/status", { headers })).json();
      expect(traffic).toMatchObject({ in_flight: 0, requests_total: fates.length });
    }),
    { numRuns: 60 },
  );
});

async function live(
  app: ReturnType<typeof testApp>,
  { stream, n, leavesAfter }: Fate,
  i: number,
): Promise<void> {
  const leave = new AbortController();
  const text = Array.from({ length: WORDS }, (_, word) => `w${word}`).join(" ");
  const body = chat(text, { stream, n, user: String(i), max_tokens: WORDS });
  const asking = app.post("/v1/chat/completions", body, { signal: leave.signal });
  if (!stream && leavesAfter !== undefined) leave.abort();
  const response = await asking;
  if (!stream || response.status !== 200) return void (await response.text());
  let seen = 0;
  for await (const _ of eventsOf(response)) if (++seen === leavesAfter) return;
}
