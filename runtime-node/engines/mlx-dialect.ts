import type { Dialect, Heard, Wire } from "../../functions/backends/dialect.ts";
import { readError } from "../../functions/backends/upstream-error.ts";
import type { EngineCall } from "../../shared/engine.ts";
import {
  type ApiError,
  badGateway,
  contextLengthExceeded,
  invalidRequest,
  unsupported,
} from "../../shared/openai/errors.ts";
import type { MlxModelFacts } from "./mlx-model.ts";
import { createStreamCut, cutChoice, stopsOf } from "./mlx-stop.ts";
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

/** mlx_lm.server holds one model under this name; any other string makes it load that in its place. */
const OWN_MODEL = "default_model";
/** More top_logprobs than these it refuses. */
const MAX_TOP_LOGPROBS = 10;
/** Its own default is 512 tokens; OpenAI's is the model's end. */
const DEFAULT_MAX_TOKENS = 32_768;

/**
 * mlx_lm.server 0.32's answers as OpenAI would have written them (fixtures: `test/fixtures/mlx-*`; reference/engines.md
 * 4). What it would pass over in silence is refused; a prompt that is no string ends its work thread (0.32.2, measured).
 */
export function mlxDialect(model: MlxModelFacts): Dialect {
  return {
    request: (call, body) => {
      refuseTooLong(call, body, model);
      return request(call, body, model.contextSize ?? DEFAULT_MAX_TOKENS);
    },
    answer: (call, answer) =>
      mapChoices(answer, (choice) => cutChoice(wholeChoice(call, choice), stopsOf(call))),
    chunks: (call) => {
      const stream = { isOpen: false, hasCalls: false, cut: createStreamCut(stopsOf(call)) };
      return (chunk) => hear(call, chunk, stream);
    },
    error,
  };
}

function request(call: EngineCall, body: Wire, maxTokens: number): Wire {
  if (call.route === "embeddings") throw noEmbeddings(call);
  const clean = withoutNulls(body);
  refuse(call, clean);
  // Of a request's body it would load what these name (a path, a repository); stop strings are ours to find.
  const safe = omit(
    clean,
    "adapters",
    "draft_model",
    "num_draft_tokens",
    "role_mapping",
    "stream_options",
    "stop",
  );
  return {
    // It knows no choice: tools that must not be called it must not see.
    ...(clean.tool_choice === "none" ? omit(safe, "tools", "tool_choice") : safe),
    model: OWN_MODEL,
    ...(call.route === "completions" ? { prompt: onlyPrompt(clean.prompt) } : {}),
    ...(clean.max_tokens === undefined && clean.max_completion_tokens === undefined && call.route === "chat"
      ? { max_tokens: maxTokens }
      : {}),
    ...(clean.max_tokens === undefined && call.route === "completions" ? { max_tokens: 16 } : {}),
    ...(clean.temperature === undefined ? { temperature: 1 } : {}),
    // Without any its log probabilities lack their tokens.
    ...(clean.logprobs === true ? { top_logprobs: Math.max(1, Number(clean.top_logprobs ?? 0)) } : {}),
    // OpenAI's -1 and vLLM's "off" are its 0.
    ...(clean.top_k === -1 ? { top_k: 0 } : {}),
    // Whole: without `include_usage` in it the stream breaks off at its end.
    ...(call.body.stream === true ? { stream_options: { include_usage: true } } : {}),
  };
}

/**
 * It computes a prompt of any length, and nobody else gets a token meanwhile (0.32.2: minutes, also after the client has
 * left). Without its tokenizer only what can't fit in any way is known; what is a little too long it still takes.
 */
function refuseTooLong(call: EngineCall, body: Wire, { contextSize, longestToken }: MlxModelFacts): void {
  if (contextSize === undefined || longestToken === undefined || call.route === "embeddings") return;
  const param = call.route === "chat" ? "messages" : "prompt";
  const promptTokens = Math.ceil(textLength(body[param]) / longestToken);
  if (promptTokens > contextSize) throw contextLengthExceeded({ contextSize, promptTokens, param });
  const maxTokens = Number(body.max_completion_tokens ?? body.max_tokens ?? 0);
  if (promptTokens + maxTokens > contextSize)
    throw contextLengthExceeded({ contextSize, promptTokens, maxTokens, param });
}

/** Of the text in messages, in parts and in prompts. */
function textLength(value: unknown): number {
  if (typeof value === "string") return value.length;
  if (Array.isArray(value)) return value.reduce((sum: number, each) => sum + textLength(each), 0);
  return isWire(value) ? textLength(value.content) + (value.type === "text" ? textLength(value.text) : 0) : 0;
}

/** What it would ignore. */
function refuse(call: EngineCall, body: Wire): void {
  const no = (param: string, what = `\`${param}\``) => {
    throw unsupported(param, `${what} is not supported by MLX.`);
  };
  checkTools("MLX", call, body);
  refuseIgnored("MLX", call, body);
  if (isWire(body.response_format) && body.response_format.type !== "text")
    no("response_format", `The response format \`${body.response_format.type}\``);
  const choice = body.tool_choice;
  if (choice !== undefined && choice !== "auto" && choice !== "none")
    no("tool_choice", "A tool choice other than `auto` or `none`");
  if (call.route === "chat" && body.logprobs === true) {
    if (body.stream === true) no("logprobs", "`logprobs` in a stream");
    if (Number(body.top_logprobs ?? 0) > MAX_TOP_LOGPROBS)
      no("top_logprobs", `\`top_logprobs\` above ${MAX_TOP_LOGPROBS}`);
  }
}

function onlyPrompt(prompt: unknown): string {
  const only = Array.isArray(prompt) && prompt.length === 1 ? prompt[0] : prompt;
  if (typeof only === "string") return only;
  throw unsupported(
    "prompt",
    "MLX takes one prompt a request, as a string: no list of prompts, no token ids.",
  );
}

function wholeChoice(call: EngineCall, choice: Wire): Wire {
  const named = {
    ...choice,
    logprobs: call.route === "chat" ? logprobsOf(choice.logprobs, call.body.top_logprobs ?? 0) : null,
  };
  if (!isWire(choice.message)) return named;
  const message = renamedReasoning(choice.message);
  const calls = wires(message.tool_calls).map(namedCall);
  if (calls.length === 0)
    return { ...named, message: { ...omit(message, "tool_calls"), content: message.content ?? "" } };
  // Between calls models write newlines, which it takes for content.
  const isBlank = String(message.content ?? "").trim() === "";
  return {
    ...named,
    logprobs: isBlank && named.logprobs !== null ? { ...named.logprobs, content: [] } : named.logprobs,
    message: { ...message, tool_calls: calls, content: isBlank ? null : message.content },
  };
}

/** Its ids are bare UUIDs. */
function namedCall(call: Wire): Wire {
  return { ...call, id: callId(call.id) };
}

/** Its tokens are spelled as in the vocabulary, without their bytes. */
function logprobsOf(logprobs: unknown, top: number): Wire | null {
  if (!isWire(logprobs)) return null;
  const content = wires(logprobs.content).map((token) => ({
    ...scored(token),
    top_logprobs: wires(token.top_logprobs).slice(0, top).map(scored),
  }));
  return { content, refusal: null };
}

function scored(token: Wire): Wire {
  const bytes = vocabularyBytes(String(token.token ?? ""));
  return { token: textOf(bytes), logprob: token.logprob, bytes };
}

/** The bytes behind GPT-2's printable stand-ins (`Ġ` is a space); a token in other spelling is its own text. */
function vocabularyBytes(token: string): readonly number[] {
  const bytes = Array.from(token, (character) => BYTE_OF.get(character));
  return bytes.every((byte) => byte !== undefined) ? bytes : [...new TextEncoder().encode(token)];
}

const BYTE_OF = byteAlphabet();

/** GPT-2's `bytes_to_unicode`: printable bytes stand for themselves, the others for 256 and up, in order. */
function byteAlphabet(): ReadonlyMap<string, number> {
  const isPrintable = (byte: number) =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let next = 256;
  return new Map(
    Array.from({ length: 256 }, (_, byte) => [String.fromCodePoint(isPrintable(byte) ? byte : next++), byte]),
  );
}

function textOf(bytes: readonly number[]): string {
  return Buffer.from(bytes).toString("utf8");
}

/** What is known of a stream so far. It has one choice. */
interface Stream {
  isOpen: boolean;
  hasCalls: boolean;
  readonly cut: (choice: Wire) => Wire | undefined;
}

function hear(call: EngineCall, chunk: Wire, stream: Stream): Heard {
  const object = call.route === "chat" ? "chat.completion.chunk" : "text_completion";
  const choices = wires(chunk.choices);
  const made = choices.flatMap((choice) => stream.cut(chunkChoice(choice, stream)) ?? []);
  return { chunk: choices.length > made.length ? undefined : { ...chunk, object, choices: made } };
}

/** Each of its deltas has the role, also the one that only tells of the finish. */
function chunkChoice(choice: Wire, stream: Stream): Wire {
  if (!isWire(choice.delta)) return choice;
  const renamed = renamedReasoning(choice.delta);
  const calls = wires(renamed.tool_calls).map(namedCall);
  stream.hasCalls ||= calls.length > 0;
  // Between calls models write newlines, which it takes for content.
  const isBlank = stream.hasCalls && String(renamed.content ?? "").trim() === "";
  const delta = {
    ...(isBlank ? omit(renamed, "content") : renamed),
    ...(calls.length > 0 ? { tool_calls: calls } : {}),
  };
  const opened = stream.isOpen ? omit(delta, "role") : { content: calls.length > 0 ? null : "", ...delta };
  stream.isOpen = true;
  return { ...choice, delta: opened };
}

/** 404 for whatever went wrong: in the template, at the load, in its work thread. */
function error(call: EngineCall, status: number, text: string): ApiError | undefined {
  if (isMissingRoute(call, status)) return noEmbeddings(call);
  const { message } = readError(text);
  if (status === 400 && message !== undefined) return invalidRequest(message);
  if (status !== 404) return undefined;
  const param = call.route === "chat" ? "messages" : "prompt";
  if (message !== undefined && TEMPLATE_ERROR.test(message))
    return invalidRequest(`The model's chat template refuses this: ${message}`, param);
  return badGateway(`The engine could not generate an answer.`, new Error(message ?? text.slice(0, 200)));
}

const TEMPLATE_ERROR = /template|role|conversation|jinja|undefined|must (alternate|be)|content type/i;
