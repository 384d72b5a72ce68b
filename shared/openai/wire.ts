import type { FinishReason, GenerateEvent, ScoredToken, TokenLogprob } from "../engine.ts";
import type { ChatRequest, CompletionRequest } from "./schemas.ts";
import { toWireUsage, type Usage } from "./usage.ts";

/** What a choice came to; filled event by event. */
export interface FinishedChoice {
  readonly index: number;
  text: string;
  reasoning: string;
  readonly calls: { readonly id: string; readonly name: string; arguments: string }[];
  readonly logprobs: TokenLogprob[];
  finish: FinishReason | null;
}

/** An event that shows on the wire. */
export type WireEvent = Exclude<GenerateEvent, { readonly type: "prompt" | "finish" }>;

/** How a route writes its answer, in JSON text; pieces are built by concatenation, they are hot. */
export interface Wire {
  /** The chunk that opens a choice, `first` being its first event; `hasFirst`: that event is in it. */
  opening(
    index: number,
    first: WireEvent | undefined,
  ): { readonly json: string | undefined; readonly hasFirst: boolean };
  piece(index: number, event: WireEvent): string;
  finish(index: number, reason: FinishReason): string;
  usage(usage: Usage): string;
  answer(choices: readonly FinishedChoice[], usage: Usage): unknown;
}

/** What stands in every chunk and answer of one call, as JSON text without its closing brace. */
function envelope(id: string, object: string, model: string, fingerprint: string): string {
  const created = Math.floor(Date.now() / 1000);
  return JSON.stringify({ id, object, created, model, system_fingerprint: fingerprint }).slice(0, -1);
}

export interface ChatWireOptions {
  readonly fingerprint: string;
  /** Asked with the deprecated `functions`: a call is `function_call`. */
  readonly isLegacy: boolean;
}

export function chatWire(body: ChatRequest, { fingerprint, isLegacy }: ChatWireOptions): Wire {
  const id = `chatcmpl-${crypto.randomUUID().replaceAll("-", "")}`;
  const head = envelope(id, "chat.completion.chunk", body.model, fingerprint);
  const tail = body.stream_options?.include_usage === true ? ',"usage":null' : "";
  const isPadded = body.stream_options?.include_obfuscation === true;
  const hasLogprobs = body.logprobs === true;
  const chunk = (index: number, delta: string, finish: string, logprobs = "null") => {
    const json = `${head},"choices":[{"index":${index},"delta":${delta},"logprobs":${logprobs},"finish_reason":${finish}}]${tail}`;
    return isPadded ? padded(json) : `${json}}`;
  };
  const finishOf = (reason: FinishReason) => (isLegacy && reason === "tool_calls" ? "function_call" : reason);
  return {
    opening(index, first) {
      // A turn that starts with a call has no content at all: OpenAI puts both into one chunk.
      if (first?.type !== "toolCall") {
        return {
          json: chunk(index, '{"role":"assistant","content":"","refusal":null}', "null"),
          hasFirst: false,
        };
      }
      const call = callDelta(first, isLegacy).slice(1);
      return {
        json: chunk(index, `{"role":"assistant","content":null,"refusal":null,${call}`, "null"),
        hasFirst: true,
      };
    },
    piece(index, event) {
      switch (event.type) {
        case "text": {
          const logprobs = hasLogprobs ? JSON.stringify(chatLogprobs(event.logprobs ?? [])) : "null";
          return chunk(index, `{"content":${JSON.stringify(event.text)}}`, "null", logprobs);
        }
        case "reasoning":
          return chunk(index, `{"reasoning_content":${JSON.stringify(event.text)}}`, "null");
        case "toolCall":
          return chunk(index, callDelta(event, isLegacy), "null");
        case "toolArguments": {
          const piece = `{"arguments":${JSON.stringify(event.text)}}`;
          const delta = isLegacy
            ? `{"function_call":${piece}}`
            : `{"tool_calls":[{"index":${event.index},"function":${piece}}]}`;
          return chunk(index, delta, "null");
        }
        default:
          return event satisfies never;
      }
    },
    finish: (index, reason) => chunk(index, "{}", JSON.stringify(finishOf(reason))),
    usage: (usage) => `${head},"choices":[],"usage":${JSON.stringify(toWireUsage(usage))}}`,
    answer: (choices, usage) => ({
      ...JSON.parse(`${envelope(id, "chat.completion", body.model, fingerprint)}}`),
      choices: choices.map((choice) => ({
        index: choice.index,
        message: messageOf(choice, isLegacy),
        logprobs: hasLogprobs ? chatLogprobs(choice.logprobs) : null,
        finish_reason: choice.finish === null ? null : finishOf(choice.finish),
      })),
      usage: toWireUsage(usage),
      service_tier: "default",
    }),
  };
}

function callDelta({ index, id, name }: Extract<WireEvent, { type: "toolCall" }>, isLegacy: boolean): string {
  const call = { name, arguments: "" };
  return JSON.stringify(
    isLegacy ? { function_call: call } : { tool_calls: [{ index, id, type: "function", function: call }] },
  );
}

function messageOf({ text, reasoning, calls }: FinishedChoice, isLegacy: boolean): Record<string, unknown> {
  const [first] = calls;
  const made =
    first === undefined
      ? {}
      : isLegacy
        ? { function_call: { name: first.name, arguments: first.arguments } }
        : { tool_calls: calls.map(({ id, ...call }) => ({ id, type: "function", function: call })) };
  return {
    role: "assistant",
    content: text === "" && first !== undefined ? null : text,
    refusal: null,
    annotations: [],
    ...(reasoning === "" ? {} : { reasoning_content: reasoning }),
    ...made,
  };
}

function chatLogprobs(tokens: readonly TokenLogprob[]) {
  return { content: tokens.map(({ top, ...token }) => ({ ...token, top_logprobs: top })), refusal: null };
}

/** Events of one length tell nothing of their text to who watches the wire: filled up to a multiple of this. */
const PADDED_BYTES = 64;

function padded(json: string): string {
  const open = `${json},"obfuscation":"`;
  const room = PADDED_BYTES - ((utf8Length(open) + 2) % PADDED_BYTES);
  const noise = crypto.getRandomValues(new Uint8Array(room));
  return `${open}${Array.from(noise, (byte) => (byte % 36).toString(36)).join("")}"}`;
}

function utf8Length(text: string): number {
  let bytes = 0;
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  }
  return bytes;
}

export function completionWire(body: CompletionRequest, fingerprint: string): Wire {
  const id = `cmpl-${crypto.randomUUID().replaceAll("-", "")}`;
  const head = envelope(id, "text_completion", body.model, fingerprint);
  const tail = body.stream_options?.include_usage === true ? ',"usage":null}' : "}";
  const hasLogprobs = body.logprobs !== undefined;
  const offsets = new Map<number, number>();
  const chunk = (index: number, text: string, finish: string, logprobs = "null") =>
    `${head},"choices":[{"index":${index},"text":${text},"logprobs":${logprobs},"finish_reason":${finish}}]${tail}`;
  return {
    opening: () => ({ json: undefined, hasFirst: false }),
    piece(index, event) {
      // Calls and reasoning are a chat's: a completion is asked for neither.
      if (event.type !== "text") return chunk(index, '""', "null");
      const from = offsets.get(index) ?? 0;
      offsets.set(index, from + [...event.text].length);
      const logprobs = hasLogprobs ? JSON.stringify(completionLogprobs(event.logprobs ?? [], from)) : "null";
      return chunk(index, JSON.stringify(event.text), "null", logprobs);
    },
    finish: (index, reason) => chunk(index, '""', JSON.stringify(reason)),
    usage: (usage) => `${head},"choices":[],"usage":${JSON.stringify(toWireUsage(usage))}}`,
    answer: (choices, usage) => ({
      ...JSON.parse(`${head}}`),
      choices: choices.map(({ index, text, finish, logprobs }) => ({
        index,
        text,
        logprobs: hasLogprobs ? completionLogprobs(logprobs, 0) : null,
        finish_reason: finish,
      })),
      usage: toWireUsage(usage),
    }),
  };
}

/** The four parallel lists of text completions; `from` is where their first token begins in the choice's text. */
function completionLogprobs(tokens: readonly TokenLogprob[], from: number) {
  let offset = from;
  const offsets: number[] = [];
  for (const { bytes } of tokens) {
    offsets.push(offset);
    // Code points, as Python counts: a character that is split over tokens counts where it begins.
    offset += bytes.filter((byte) => byte < 0x80 || byte >= 0xc0).length;
  }
  return {
    tokens: tokens.map(nameOf),
    token_logprobs: tokens.map(({ logprob }) => logprob),
    // The drawn token is always among them (OpenAI's reference of `logprobs`: "up to logprobs+1 elements").
    top_logprobs: tokens.map((token) =>
      token.logprob === null
        ? null
        : Object.fromEntries([...token.top, token].map((each) => [nameOf(each), each.logprob])),
    ),
    text_offset: offsets,
  };
}

/** A token that is no whole character goes by its bytes, as OpenAI writes them: `bytes:\xe4\xbd`. */
function nameOf({ token, bytes }: ScoredToken): string {
  if (!token.includes("\ufffd")) return token;
  return `bytes:${bytes.map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("")}`;
}
