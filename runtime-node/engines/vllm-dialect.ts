import type { Dialect, Heard, Wire } from "../../functions/backends/dialect.ts";
import { readError } from "../../functions/backends/upstream-error.ts";
import type { EngineCall } from "../../shared/engine.ts";
import { ApiError, modelNotFound } from "../../shared/openai/errors.ts";
import { readUsage } from "../../shared/openai/usage.ts";
import {
  callId,
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

/** vLLM's answers as OpenAI would have written them (fixtures: `test/fixtures/vllm-*`; reference/engines.md 3.3). */
export const vllmDialect: Dialect = {
  request,
  answer: (_call, answer) => withoutNulls(cleanUsage(mapChoices(omit(answer, ...OWN_KEYS), wholeChoice))),
  chunks: () => {
    const calls = createCallIds();
    return (chunk) => hear(chunk, calls);
  },
  error,
};

/** vLLM's own, at the top and in choices: most are null unless they were asked for. */
const OWN_KEYS = [
  "prompt_logprobs",
  "prompt_token_ids",
  "prompt_text",
  "kv_transfer_params",
  "ec_transfer_params",
  "metrics",
];
const OWN_CHOICE_KEYS = ["stop_reason", "token_ids", "prompt_logprobs", "prompt_token_ids", "routed_experts"];

function request(call: EngineCall, body: Wire): Wire {
  const clean = withoutNulls(body);
  if (call.route === "embeddings") return clean;
  if (call.route === "completions") return call.body.stream === true ? counted(clean) : clean;
  checkTools("vLLM", call, clean);
  const named = {
    ...clean,
    messages: wires(clean.messages).map(sentMessage),
    // Without it vLLM answers `logprobs: null` to `logprobs: true` (RL#3390).
    ...(clean.logprobs === true && clean.top_logprobs === undefined ? { top_logprobs: 0 } : {}),
  };
  return call.body.stream === true ? counted(named) : named;
}

/** With the running usage on each chunk: the exact count of a stream that is aborted. */
function counted(body: Wire): Wire {
  const options = isWire(body.stream_options) ? body.stream_options : {};
  return {
    ...body,
    stream_options: {
      include_usage: true,
      ...omit(options, "include_obfuscation"),
      continuous_usage_stats: true,
    },
  };
}

function sentMessage(message: Wire): Wire {
  const { reasoning_content: reasoning, ...rest } = message;
  return reasoning === undefined ? message : { ...rest, reasoning };
}

function wholeChoice(choice: Wire): Wire {
  const clean = cleanChoice(choice);
  if (!isWire(clean.message)) return clean;
  const message = withoutNulls(renamedReasoning(clean.message), ["content", "refusal"]);
  const calls = wires(message.tool_calls);
  return {
    ...clean,
    message:
      calls.length > 0
        ? { ...message, tool_calls: calls.map((call) => ({ ...call, id: namedId(call.id) })) }
        : omit(message, "tool_calls"),
    finish_reason: finishOf(clean.finish_reason, calls.length > 0),
  };
}

function cleanChoice(choice: Wire): Wire {
  const clean = withoutNulls(omit(choice, ...OWN_CHOICE_KEYS), ["logprobs", "finish_reason"]);
  // A chat's have `content`, a text completion's four lists.
  const { logprobs } = clean;
  return isWire(logprobs) && "content" in logprobs
    ? { ...clean, logprobs: { refusal: null, ...logprobs } }
    : clean;
}

/** A named or required call ends with "stop" (vllm#25054), and "tool_calls" may come without a call (vllm#53255). */
function finishOf(reason: unknown, hasCalls: boolean): unknown {
  if (reason === "stop" && hasCalls) return "tool_calls";
  return reason === "tool_calls" && !hasCalls ? "stop" : reason;
}

function hear(chunk: Wire, calls: CallIds): Heard {
  const isLast = wires(chunk.choices).length === 0;
  const clean = withoutNulls(
    mapChoices(omit(chunk, ...OWN_KEYS), (choice) => chunkChoice(choice, calls)),
    ["usage"],
  );
  if (isLast) return { chunk: cleanUsage(clean) };
  const { usage: _, ...rest } = clean;
  return { chunk: rest, usage: readUsage(chunk) };
}

/** Details that it did not count are null in it. */
function cleanUsage(answer: Wire): Wire {
  if (!isWire(answer.usage)) return answer;
  const usage = Object.entries(withoutNulls(answer.usage)).map(([key, value]) => [
    key,
    isWire(value) ? withoutNulls(value) : value,
  ]);
  return { ...answer, usage: Object.fromEntries(usage) };
}

function chunkChoice(choice: Wire, calls: CallIds): Wire {
  const clean = cleanChoice(choice);
  if (!isWire(clean.delta)) return clean;
  const delta = withoutNulls(renamedReasoning(clean.delta), ["content"]);
  const made = wires(delta.tool_calls).map((call) => calls.complete(choice.index, call));
  return {
    ...clean,
    delta: made.length > 0 ? { ...delta, tool_calls: made } : omit(delta, "tool_calls"),
    finish_reason: finishOf(clean.finish_reason, calls.has(choice.index)),
  };
}

interface CallIds {
  has(choice: unknown): boolean;
  /** The delta with id, type and name where it is a call's first one, and nowhere else. */
  complete(choice: unknown, call: Wire): Wire;
}

/** Versions leave out the type (vllm#16340) or the id (#18412), or repeat them. */
function createCallIds(): CallIds {
  const seen = new Set<string>();
  const choices = new Set<unknown>();
  return {
    has: (choice) => choices.has(choice),
    complete(choice, call) {
      const key = `${choice}/${call.index}`;
      const body = isWire(call.function) ? withoutNulls(call.function) : {};
      choices.add(choice);
      if (seen.has(key)) return { index: call.index, function: omit(body, "name") };
      seen.add(key);
      return {
        index: call.index,
        id: namedId(call.id),
        type: "function",
        function: { arguments: "", ...body },
      };
    },
  };
}

function namedId(id: unknown): string {
  return callId(typeof id === "string" ? id.replace(/^chatcmpl-tool-/, "") : id);
}

function error(call: EngineCall, status: number, text: string): ApiError | undefined {
  if (isMissingRoute(call, status)) return noEmbeddings(call);
  if (status === 404) return modelNotFound(call.body.model, []);
  if (status !== 400 && status !== 422) return undefined;
  const { message, param } = readError(text);
  if (message === undefined) return undefined;
  // "This model's maximum context length is 512 tokens. However, ..." has no code (vllm#37011).
  const isOverflow = /maximum context length|max_model_len|longer than the maximum model length/i.test(
    message,
  );
  const [, size] = /^max_\w*tokens=\d+ cannot be greater than max_model_len=(\d+)/.exec(message) ?? [];
  const known = size === undefined ? "" : `This model's maximum context length is ${size} tokens. However, `;
  return new ApiError(400, `${known}${message}`, {
    param: param ?? null,
    code: isOverflow ? "context_length_exceeded" : null,
  });
}
