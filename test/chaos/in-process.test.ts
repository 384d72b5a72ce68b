import { afterAll, expect, it } from "vitest";
import type { Engine, GenerationCounts } from "../../shared/engine.ts";
import { respondByGenerating } from "../../shared/openai/compose.ts";
import { toPrice } from "../../shared/pricing.ts";
import { entryOf, PREPAID, testApp } from "../harness/app.ts";
import { DEMO_MODEL, demoEngine, LONG_QUESTION } from "../harness/demo-engine.ts";
import { chat, eventsOf, MODEL } from "../harness/wire.ts";
import { planStreams } from "./plan.ts";

const engine = demoEngine();
afterAll(() => engine.close());

it("bills what the engine in this process made, to the token, however its clients left", async () => {
  await engine.initialize();
  await engine.loadModel(MODEL, DEMO_MODEL);
  /** What each request's generation counted, by the client's request id. */
  const made = new Map<string, GenerationCounts>();
  const counting: Engine = {
    ...engine,
    respond: (call) =>
      respondByGenerating(call, {
        generate: (request) => {
          made.set(call.requestId, request.counts);
          return engine.generate(request);
        },
        fingerprint: "counting",
        can: new Set(),
      }),
  };
  const app = testApp({
    engines: [entryOf(counting, { price: toPrice({ prompt: 1, completion: 2 }) })],
    credit: 10 ** 12,
  });
  const receiptOf = new Map<string, string>();
  const plans = planStreams(60, 11);
  const remaining = plans.values();
  const client = async (): Promise<void> => {
    for (const { name, leavesAfter, fate } of remaining) {
      const asked = chat(LONG_QUESTION, { stream: true, max_tokens: fate.tokens, temperature: 2, seed: 1 });
      const response = await app.post("/v1/chat/completions", asked, { headers: { "x-request-id": name } });
      receiptOf.set(name, response.headers.get("x-sluice-receipt") ?? "");
      let seen = 0;
      for await (const _ of eventsOf(response)) if (++seen === leavesAfter) break;
    }
  };
  await Promise.all(Array.from({ length: 8 }, client));
  await app.settled();

  const receipts = new Map(app.receipts.map((receipt) => [receipt.requestId, receipt]));
  expect(app.receipts).toHaveLength(plans.length);
  expect(new Set(app.receipts.map(({ outcome }) => outcome))).toEqual(
    new Set(["completed", "client_aborted"]),
  );
  for (const { name } of plans) {
    const receipt = receipts.get(receiptOf.get(name) ?? "");
    expect(receipt?.source, name).toBe("engine");
    expect(receipt?.usage, name).toEqual(made.get(name));
  }
  expect(await app.ledger.balance(PREPAID)).toMatchObject({ heldNanoUsd: 0 });
});
