import type { Dialect, Heard, Wire } from "../../functions/backends/dialect.ts";
import { readError } from "../../functions/backends/upstream-error.ts";
import type { EngineCall } from "../../shared/engine.ts";
import { ApiError } from "../../shared/openai/errors.ts";
import type { Usage } from "../../shared/openai/usage.ts";
import {
  checkTools,
  isMissingRoute,
  isWire,
  mapChoices,
  noEmbeddings,
  omit,
  renamedReasoning,
  wires,
  withoutNulls,
} from "./supervised-wire.ts";

/** llama-server's answers as OpenAI would have written them (reference/engines.md 2.2). */
export const llamaServerDialect: Dialect = {
  request,
  answer: (_call, answer) => mapChoices(omit(answer, "timings"), wholeChoice),
  chunks: () => hear,
  error,
};

/** Its own defaults are 0.8, 40, 0.95 and 0.05. */
const OPENAI_SAMPLING = { temperature: 1, top_k: 0, top_p: 1, min_p: 0 };
/** Of its own fields those that reach past the request: slots, files, other requests' caches. */
const OWN_FIELDS = ["id_slot", "lora", "slot_id"];

function request(call: EngineCall, body: Wire): Wire {
  const clean = omit(withoutNulls(body), ...OWN_FIELDS);
  if (call.route === "embeddings") return clean;
  checkTools("llama-server", call, clean);
  const sampled = { ...OPENAI_SAMPLING, ...clean, ...(clean.top_k === -1 ? { top_k: 0 } : {}) };
  // With the running counts on each chunk: the exact count of a stream that is aborted.
  return call.body.stream === true ? { ...sampled, timings_per_token: true } : sampled;
}

function wholeChoice(choice: Wire): Wire {
  if (!isWire(choice.message)) return choice;
  const message = renamedReasoning(choice.message);
  const calls = wires(message.tool_calls);
  return { ...choice, message: calls.length > 0 ? message : omit(message, "tool_calls") };
}

function hear(chunk: Wire): Heard {
  const { timings, ...rest } = chunk;
  const named = mapChoices(rest, (choice) => {
    if (!isWire(choice.delta)) return choice;
    const delta = renamedReasoning(choice.delta);
    // It opens with content null.
    return {
      ...choice,
      delta: delta.role !== undefined && delta.content === null ? { ...delta, content: "" } : delta,
    };
  });
  return wires(chunk.choices).length === 0 ? { chunk: named } : { chunk: named, usage: countsOf(timings) };
}

/** `timings`: tokens of the prompt that were cached and computed, and tokens made so far. */
function countsOf(timings: unknown): Usage | undefined {
  if (!isWire(timings)) return undefined;
  const { cache_n: cached = 0, prompt_n: computed, predicted_n: made } = timings;
  if (typeof cached !== "number" || typeof computed !== "number" || typeof made !== "number")
    return undefined;
  return {
    promptTokens: cached + computed,
    cachedTokens: cached,
    completionTokens: made,
    reasoningTokens: 0,
  };
}

function error(call: EngineCall, status: number, text: string): ApiError | undefined {
  if (isMissingRoute(call, status)) return noEmbeddings(call);
  const { message, type } = readError(text);
  if (message === undefined || status < 400 || status >= 500 || status === 401 || status === 403)
    return undefined;
  const isOverflow =
    type === "exceed_context_size_error" || /context size|exceeds the available context/i.test(message);
  return new ApiError(status === 429 ? 429 : 400, message, {
    code: isOverflow ? "context_length_exceeded" : null,
  });
}
