import type { Dialect, Heard, Wire } from "../../functions/backends/dialect.ts";
import { readError } from "../../functions/backends/upstream-error.ts";
import type { EngineCall } from "../../shared/engine.ts";
import { ApiError, contextLengthExceeded } from "../../shared/openai/errors.ts";
import { readToolUse } from "../../shared/openai/tools.ts";
import type { Usage } from "../../shared/openai/usage.ts";
import {
  callId,
  checkTools,
  isMissingRoute,
  isWire,
  mapChoices,
  noEmbeddings,
  omit,
  refuseIgnored,
  renamedReasoning,
  wires,
  withoutNulls,
} from "./supervised-wire.ts";

/** llama-server's answers as OpenAI would have written them (reference/engines.md 2.2; fixtures `test/fixtures/llama-server-*`). */
export const llamaServerDialect: Dialect = {
  request,
  answer: (call, answer) => mapChoices(omit(answer, "timings"), (choice) => wholeChoice(call, choice)),
  chunks: (call) => (chunk) => hear(call, chunk),
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
  refuseIgnored("llama-server", call, clean);
  return {
    ...OPENAI_SAMPLING,
    ...clean,
    ...(clean.top_k === -1 ? { top_k: 0 } : {}),
    ...chosenTools(call, clean),
    // At 0 it sends none at all.
    ...(clean.logprobs === true ? { top_logprobs: Math.max(1, Number(clean.top_logprobs ?? 0)) } : {}),
    // With the running counts on each chunk: the exact count of a stream that is aborted.
    ...(call.body.stream === true ? { timings_per_token: true } : {}),
  };
}

/** It knows choices by word alone: of tools that are chosen by name it is sent no others. */
function chosenTools(call: EngineCall, body: Wire): Wire {
  if (call.route !== "chat" || !isWire(body.tool_choice)) return {};
  const { allowed, choice } = readToolUse(call.body);
  const tools = wires(body.tools).filter(
    (tool) => isWire(tool.function) && allowed.has(String(tool.function.name)),
  );
  return { tools, tool_choice: choice };
}

function wholeChoice(call: EngineCall, choice: Wire): Wire {
  const scored = withScores(call, choice);
  if (!isWire(choice.message)) return scored;
  const message = renamedReasoning(choice.message);
  const calls = wires(message.tool_calls).map((each) => ({ ...each, id: callId(each.id) }));
  if (calls.length === 0) return { ...scored, message: omit(message, "tool_calls") };
  const content = message.content === "" ? null : message.content;
  return { ...scored, message: { ...message, content, tool_calls: calls } };
}

/** Without the likeliest token that was asked for in place of none, and with the key that OpenAI requires. */
function withScores(call: EngineCall, choice: Wire): Wire {
  if (!isWire(choice.logprobs) || call.route !== "chat") return choice;
  const top = call.body.top_logprobs ?? 0;
  const content = wires(choice.logprobs.content).map((token) => ({
    ...token,
    top_logprobs: wires(token.top_logprobs).slice(0, top),
  }));
  return { ...choice, logprobs: { content, refusal: null } };
}

function hear(call: EngineCall, chunk: Wire): Heard {
  const { timings, ...rest } = chunk;
  const named = mapChoices(rest, (choice) => chunkChoice(withScores(call, choice)));
  return wires(chunk.choices).length === 0 ? { chunk: named } : { chunk: named, usage: countsOf(timings) };
}

function chunkChoice(choice: Wire): Wire {
  if (!isWire(choice.delta)) return choice;
  const delta = renamedReasoning(choice.delta);
  // It opens with content null.
  const opened = delta.role !== undefined && delta.content === null ? { ...delta, content: "" } : delta;
  if (opened.tool_calls === undefined) return { ...choice, delta: opened };
  // The first piece of a call has its id.
  const calls = wires(opened.tool_calls).map((each) =>
    each.id === undefined ? each : { ...each, id: callId(each.id) },
  );
  return { ...choice, delta: { ...opened, tool_calls: calls } };
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
  if (type === "exceed_context_size_error" || /context size|exceeds the available context/i.test(message))
    return overflow(call, text, message);
  return new ApiError(status === 429 ? 429 : 400, message);
}

function overflow(call: EngineCall, text: string, message: string): ApiError {
  const param = call.route === "chat" ? "messages" : "prompt";
  const { n_ctx: contextSize, n_prompt_tokens: promptTokens } = Object(JSON.parse(text).error);
  return typeof contextSize === "number" && typeof promptTokens === "number"
    ? contextLengthExceeded({ contextSize, promptTokens, param })
    : new ApiError(400, message, { code: "context_length_exceeded", param });
}
