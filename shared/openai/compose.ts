import type {
  EngineCall,
  GenerateEvent,
  GenerateRequest,
  GenerationCounts,
  Prompt,
  Sampling,
} from "../engine.ts";
import { eachInput, respondEmbeddings } from "./embeddings.ts";
import { errorBody, toApiError, unsupported } from "./errors.ts";
import type { ChatRequest, CompletionRequest } from "./schemas.ts";
import { DONE_EVENT, encodeEvent, SSE_HEADERS } from "./sse.ts";
import type { Usage } from "./usage.ts";
import { chatWire, completionWire, type FinishedChoice, type Wire } from "./wire.ts";

/** What an engine in this process brings; the wire around it is made here. */
export interface Generator {
  generate(request: GenerateRequest): AsyncIterable<GenerateEvent>;
  /** One input as a vector of length 1, and its tokens. Absent: the engine has no embeddings. */
  embed?(
    model: string,
    input: string | readonly number[],
    signal: AbortSignal,
  ): Promise<{ readonly vector: Float32Array; readonly tokens: number }>;
  /** Sent as `system_fingerprint`: the same while model, settings and engine are. */
  readonly fingerprint: string;
}

/** An OpenAI response, JSON or SSE, composed from what `generator` generates. Keeps the promises of `Engine.respond`. */
export function respondByGenerating(call: EngineCall, generator: Generator): Promise<Response> {
  switch (call.route) {
    case "chat":
      return respond(
        call,
        call.body,
        generator,
        chatWire(call.body, generator.fingerprint),
        chatPrompts(call.body),
      );
    case "completions":
      return respond(
        call,
        call.body,
        generator,
        completionWire(call.body, generator.fingerprint),
        completionPrompts(call.body),
      );
    case "embeddings":
      return respondEmbeddings(call, call.body, generator);
    default:
      return call satisfies never;
  }
}

interface Choice extends FinishedChoice {
  readonly counts: GenerationCounts;
  readonly events: AsyncIterator<GenerateEvent>;
}

async function respond(
  call: EngineCall,
  body: ChatRequest | CompletionRequest,
  generator: Generator,
  wire: Wire,
  prompts: readonly Prompt[],
): Promise<Response> {
  const abort = new AbortController();
  const signal = AbortSignal.any([call.signal, abort.signal]);
  const n = body.n ?? 1;
  const seed = body.seed === undefined ? randomSeed() : toUint32(body.seed);
  const choices = prompts.flatMap((prompt, p) =>
    Array.from({ length: n }, (_, i): Choice => {
      const counts = { promptTokens: 0, cachedTokens: 0, completionTokens: 0 };
      const request: GenerateRequest = {
        model: call.model,
        prompt,
        maxTokens: wire.maxTokens,
        sampling: sampling(body, toUint32(seed + i)),
        stop: body.stop === undefined ? [] : [body.stop].flat().filter((text) => text !== ""),
        signal,
        counts,
      };
      const events = generator.generate(request)[Symbol.asyncIterator]();
      return { index: p * n + i, counts, events, text: "", finish: null };
    }),
  );
  call.report.read = () => ({ usage: sumUsage(choices, n), basis: "exact" });
  const [only] = choices;
  const steps = choices.length === 1 && only !== undefined ? eventsOf(only) : interleave(choices);

  try {
    if (body.stream !== true) {
      await Promise.all(choices.map(drain));
      return Response.json(wire.answer(choices, sumUsage(choices, n)));
    }
    // The first event, so that what is refused can still be a status.
    await steps.next();
  } catch (thrown) {
    abort.abort(thrown);
    void release(choices);
    throw call.signal.aborted ? call.signal.reason : thrown;
  }
  const events = writeEvents(
    call,
    choices,
    steps,
    wire,
    body.stream_options?.include_usage === true ? n : undefined,
  );
  const stop = async (reason: unknown) => {
    abort.abort(reason);
    await events.return();
    await release(choices);
  };
  return new Response(streamOf(events, stop), { headers: SSE_HEADERS });
}

async function drain(choice: Choice): Promise<void> {
  for (let step = await choice.events.next(); !step.done; step = await choice.events.next()) {
    if (step.value.type === "text") choice.text += step.value.text;
    else if (step.value.type === "finish") choice.finish = step.value.reason;
  }
}

/** The events of all choices as they come, each choice in its order. `usageOf` is n where the client asked for usage. */
async function* writeEvents(
  call: EngineCall,
  choices: readonly Choice[],
  steps: AsyncIterable<Step>,
  wire: Wire,
  usageOf: number | undefined,
): AsyncGenerator<Uint8Array, void, void> {
  try {
    for (const choice of choices) {
      const opening = wire.opening(choice.index);
      if (opening !== undefined) yield encodeEvent(opening);
    }
    for await (const [choice, event] of steps) {
      if (event.type === "text") yield encodeEvent(wire.piece(choice.index, event.text));
      else if (event.type === "finish") yield encodeEvent(wire.finish(choice.index, event.reason));
    }
    if (usageOf !== undefined) yield encodeEvent(wire.usage(sumUsage(choices, usageOf)));
    yield DONE_EVENT;
  } catch (thrown) {
    if (call.signal.aborted) throw thrown;
    call.report.failure = toApiError(thrown);
    yield encodeEvent(JSON.stringify(errorBody(call.report.failure)));
  } finally {
    await release(choices);
  }
}

/** Ends generations that are held at a yield, so that the engine can free their sequences. */
async function release(choices: readonly Choice[]): Promise<void> {
  await Promise.all(choices.map((choice) => choice.events.return?.()));
}

type Step = readonly [Choice, GenerateEvent];

async function* eventsOf(choice: Choice): AsyncGenerator<Step, void, void> {
  for (let step = await choice.events.next(); !step.done; step = await choice.events.next())
    yield [choice, step.value];
}

/** The next event of whichever choice has one. */
async function* interleave(choices: readonly Choice[]): AsyncGenerator<Step, void, void> {
  const next = (choice: Choice) => {
    const step = choice.events.next().then((step) => ({ choice, step }));
    step.catch(() => {}); // The race below reports it; a reader that left must not leave it unhandled.
    return step;
  };
  const waiting = new Map(choices.map((choice) => [choice, next(choice)]));
  while (waiting.size > 0) {
    const { choice, step } = await Promise.race(waiting.values());
    waiting.delete(choice);
    if (step.done) continue;
    waiting.set(choice, next(choice)); // To the end: of several that have an event, the others are looked at first.
    yield [choice, step.value];
  }
}

/** A body that makes the next event when its reader asks, and stops the engine when the reader leaves. */
function streamOf(
  events: AsyncGenerator<Uint8Array, void, void>,
  stop: (reason: unknown) => Promise<void>,
): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const step = await events.next();
        if (step.done) controller.close();
        else controller.enqueue(step.value);
      },
      cancel: stop,
    },
    { highWaterMark: 0 },
  );
}

/** Every prompt is counted once, whatever its number of choices; completions are summed (OpenAI's rule). */
function sumUsage(choices: readonly Choice[], n: number): Usage {
  const sum = { promptTokens: 0, cachedTokens: 0, completionTokens: 0, reasoningTokens: 0 };
  for (const choice of choices) {
    sum.completionTokens += choice.counts.completionTokens;
    if (choice.index % n !== 0) continue;
    sum.promptTokens += choice.counts.promptTokens;
    sum.cachedTokens += choice.counts.cachedTokens;
  }
  return sum;
}

function sampling(body: ChatRequest | CompletionRequest, seed: number): Sampling {
  return {
    temperature: body.temperature ?? 1,
    topP: body.top_p ?? 1,
    topK: Math.max(0, body.top_k ?? 0),
    minP: body.min_p ?? 0,
    seed,
    frequencyPenalty: body.frequency_penalty ?? 0,
    presencePenalty: body.presence_penalty ?? 0,
    logitBias: new Map(Object.entries(body.logit_bias ?? {}).map(([token, bias]) => [Number(token), bias])),
  };
}

function randomSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
}

function toUint32(value: number): number {
  return ((value % 2 ** 32) + 2 ** 32) % 2 ** 32;
}

function chatPrompts(body: ChatRequest): readonly Prompt[] {
  if ((body.tools?.length ?? 0) > 0 && body.tool_choice !== "none") {
    throw unsupported(
      "tools",
      "Tools are not supported by this engine yet. Leave `tools` out, or use a backend that has them.",
    );
  }
  if (body.functions !== undefined)
    throw unsupported("functions", "Functions are not supported by this engine yet.");
  if (body.response_format !== undefined && body.response_format.type !== "text") {
    throw unsupported(
      "response_format",
      "Only `response_format` of type `text` is supported by this engine yet.",
    );
  }
  if (body.logprobs === true)
    throw unsupported("logprobs", "Log probabilities are not supported by this engine yet.");
  return [{ kind: "chat", messages: body.messages, templateArguments: body.chat_template_kwargs ?? {} }];
}

function completionPrompts(body: CompletionRequest): readonly Prompt[] {
  if (body.echo === true) throw unsupported("echo", "`echo` is not supported by this engine yet.");
  if (body.logprobs !== undefined)
    throw unsupported("logprobs", "Log probabilities are not supported by this engine yet.");
  if (body.suffix !== undefined) throw unsupported("suffix", "`suffix` is not supported by this engine yet.");
  if ((body.best_of ?? 1) > 1)
    throw unsupported("best_of", "`best_of` above 1 is not supported by this engine yet.");
  return eachInput(body.prompt).map((input) =>
    typeof input === "string" ? { kind: "text", text: input } : { kind: "tokens", tokens: input },
  );
}
