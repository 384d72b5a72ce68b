import { DONE_EVENT, encodeEvent, readEvents } from "../shared/openai/sse.ts";
import { readUsage, type Usage } from "../shared/openai/usage.ts";

/** What a usage costs, in nano-dollars. */
export type CostOf = (usage: Usage) => number;

/** The answer with `cost`, in US dollars, in its usage. */
export function withCost(answer: unknown, costOf: CostOf): unknown {
  const usage = readUsage(answer);
  if (usage === undefined || typeof answer !== "object" || answer === null) return answer;
  const wire: object = Object(Reflect.get(answer, "usage"));
  return { ...answer, usage: { ...wire, cost: costOf(usage) / 1e9 } };
}

/** The stream with `cost` in each usage; everything else passes as it came. */
export function streamWithCost(response: Response, costOf: CostOf): Response {
  if (response.body === null) return response;
  const events = eventsWithCost(response.body, costOf);
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const step = await events.next();
        if (step.done) controller.close();
        else controller.enqueue(step.value);
      },
      // Over when the engine has stopped: its last tokens are billed.
      cancel: async () => void (await events.return()),
    },
    { highWaterMark: 0 },
  );
  return new Response(body, response);
}

const HAS_USAGE = /"usage"\s*:\s*\{/;

async function* eventsWithCost(
  body: ReadableStream<Uint8Array>,
  costOf: CostOf,
): AsyncGenerator<Uint8Array, void, void> {
  for await (const event of readEvents(body)) {
    if (event === "[DONE]") yield DONE_EVENT;
    else if (HAS_USAGE.test(event)) yield encodeEvent(JSON.stringify(withCost(JSON.parse(event), costOf)));
    else yield encodeEvent(event);
  }
}
