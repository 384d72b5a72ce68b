import { readEvents } from "../../shared/openai/sse.ts";
import { readUsage, type Usage } from "../../shared/openai/usage.ts";
import type { StreamPlan } from "./plan.ts";

/** What a client saw of its stream. */
export interface Seen {
  /** The status; `left` where it left by its plan, `lost` where the connection broke (the server was killed). */
  readonly status: number | "left" | "lost";
  readonly isDone: boolean;
  /** The usage it asked for, where the stream came to its end. */
  readonly usage: Usage | undefined;
}

/** One stream, as its plan says. Throws where nothing listens: it was never sent. */
export async function runStream(baseURL: string, key: string, plan: StreamPlan): Promise<Seen> {
  const abort = new AbortController();
  const response = await fetch(`${baseURL}/chat/completions`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      authorization: `Bearer ${key}`,
      "idempotency-key": plan.name,
    },
    body: JSON.stringify({
      model: "counted",
      user: plan.name,
      stream: true,
      stream_options: { include_usage: true },
      max_tokens: 100,
      messages: [{ role: "user", content: "x".repeat(2 * plan.fate.promptTokens) }],
    }),
    signal: abort.signal,
  });
  if (response.status !== 200 || response.body === null) {
    await response.text();
    return { status: response.status, isDone: false, usage: undefined };
  }
  let usage: Usage | undefined;
  let events = 0;
  try {
    for await (const event of readEvents(response.body)) {
      if (event === "[DONE]") return { status: 200, isDone: true, usage };
      usage = readUsage(JSON.parse(event)) ?? usage;
      if (++events === plan.leavesAfter) abort.abort();
    }
  } catch {
    // By its own abort, or the server was killed.
    return { status: abort.signal.aborted ? "left" : "lost", isDone: false, usage: undefined };
  }
  return { status: 200, isDone: false, usage: undefined };
}
