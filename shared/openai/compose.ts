import type { EngineCall, GenerateEvent, GenerateRequest, GenerationCounts } from "../engine.ts";
import { type Embedder, respondEmbeddings } from "./embeddings.ts";
import { errorBody, toApiError } from "./errors.ts";
import { chatGeneration, completionGeneration, type Feature, type Generation } from "./generation.ts";
import type { ChatRequest, CompletionRequest } from "./schemas.ts";
import { DONE_EVENT, encodeEvent, eventStream } from "./sse.ts";
import type { Usage } from "./usage.ts";
import { chatWire, completionWire, type FinishedChoice, type Wire } from "./wire.ts";

/** What an engine in this process brings; the wire around it is made here. */
export interface Generator extends Embedder {
  generate(request: GenerateRequest): AsyncIterable<GenerateEvent>;
  /** Sent as `system_fingerprint`: the same while model, settings and engine are. */
  readonly fingerprint: string;
  readonly can: ReadonlySet<Feature>;
}

/** An OpenAI response, JSON or SSE, composed from what `generator` generates. Keeps the promises of `Engine.respond`. */
export async function respondByGenerating(call: EngineCall, generator: Generator): Promise<Response> {
  const { fingerprint, can } = generator;
  switch (call.route) {
    case "chat": {
      const generation = chatGeneration(call.body, can);
      const wire = chatWire(call.body, { fingerprint, isLegacy: generation.tools?.legacy === true });
      return respond(call, call.body, generator, wire, generation);
    }
    case "completions": {
      const generation = completionGeneration(call.body, can);
      return respond(call, call.body, generator, completionWire(call.body, fingerprint), generation);
    }
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
  generation: Generation,
): Promise<Response> {
  call.signal.throwIfAborted();
  const abort = new AbortController();
  const signal = AbortSignal.any([call.signal, abort.signal]);
  const choices = startChoices(call.model, generator, generation, signal);
  const { candidates } = generation;
  call.report.read = () => ({ usage: sumUsage(choices, candidates), source: "engine" });
  const [only] = choices;
  const steps = choices.length === 1 && only !== undefined ? eventsOf(only) : interleave(choices);

  try {
    if (body.stream !== true) {
      await Promise.all(choices.map(drain));
      return Response.json(wire.answer(bestOf(choices, generation), sumUsage(choices, candidates)));
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
    body.stream_options?.include_usage === true ? candidates : undefined,
  );
  const stop = async (reason: unknown) => {
    abort.abort(reason);
    await events.return();
    await release(choices);
  };
  return eventStream(events, stop);
}

/** Every choice of every prompt, each with a seed of its own; nothing runs until its events are asked for. */
function startChoices(
  model: string,
  generator: Generator,
  generation: Generation,
  signal: AbortSignal,
): readonly Choice[] {
  const { prompts, candidates, sampling, maxTokens, stop, tools, format, topLogprobs, echo } = generation;
  const seed = generation.seed === undefined ? randomSeed() : toUint32(generation.seed);
  return prompts.flatMap((prompt, p) =>
    Array.from({ length: candidates }, (_, i): Choice => {
      const counts = { promptTokens: 0, cachedTokens: 0, completionTokens: 0, reasoningTokens: 0 };
      const events = generator.generate({
        model,
        prompt,
        maxTokens,
        sampling: { ...sampling, seed: toUint32(seed + i) },
        stop,
        tools,
        format,
        topLogprobs,
        echo,
        signal,
        counts,
      });
      return {
        index: p * candidates + i,
        counts,
        events: events[Symbol.asyncIterator](),
        text: "",
        reasoning: "",
        calls: [],
        logprobs: [],
        finish: null,
      };
    }),
  );
}

async function drain(choice: Choice): Promise<void> {
  for (let step = await choice.events.next(); !step.done; step = await choice.events.next())
    add(choice, step.value);
}

function add(choice: Choice, event: GenerateEvent): void {
  switch (event.type) {
    case "prompt":
      return;
    case "text":
      choice.text += event.text;
      choice.logprobs.push(...(event.logprobs ?? []));
      return;
    case "reasoning":
      choice.reasoning += event.text;
      return;
    case "toolCall":
      choice.calls.push({ id: event.id, name: event.name, arguments: "" });
      return;
    case "toolArguments": {
      const call = choice.calls[event.index];
      if (call !== undefined) call.arguments += event.text;
      return;
    }
    case "finish":
      choice.finish = event.reason;
      return;
    default:
      event satisfies never;
  }
}

/** Of each prompt's candidates the n with the highest mean log probability (OpenAI's meaning of `best_of`). */
function bestOf(
  choices: readonly Choice[],
  { prompts, candidates, n }: Generation,
): readonly FinishedChoice[] {
  if (candidates === n) return choices;
  return prompts.flatMap((_, p) =>
    choices
      .slice(p * candidates, (p + 1) * candidates)
      .sort((a, b) => meanLogprob(b) - meanLogprob(a))
      .slice(0, n)
      .map((choice, i) => ({ ...choice, index: p * n + i })),
  );
}

function meanLogprob({ logprobs }: FinishedChoice): number {
  return logprobs.reduce((sum, { logprob }) => sum + (logprob ?? 0), 0) / Math.max(1, logprobs.length);
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
    const open = new Set<number>();
    for await (const [{ index }, event] of steps) {
      if (event.type === "prompt") continue;
      const first = event.type === "finish" ? undefined : event;
      if (!open.has(index)) {
        open.add(index);
        const { json, hasFirst } = wire.opening(index, first);
        if (json !== undefined) yield encodeEvent(json);
        if (hasFirst) continue;
      }
      yield encodeEvent(
        event.type === "finish" ? wire.finish(index, event.reason) : wire.piece(index, event),
      );
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

/** Every prompt is counted once, whatever its number of choices; completions are summed (OpenAI's rule). */
function sumUsage(choices: readonly Choice[], n: number): Usage {
  const sum = { promptTokens: 0, cachedTokens: 0, completionTokens: 0, reasoningTokens: 0 };
  for (const choice of choices) {
    sum.completionTokens += choice.counts.completionTokens;
    sum.reasoningTokens += choice.counts.reasoningTokens;
    if (choice.index % n !== 0) continue;
    sum.promptTokens += choice.counts.promptTokens;
    sum.cachedTokens += choice.counts.cachedTokens;
  }
  return sum;
}

function randomSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
}

function toUint32(value: number): number {
  return ((value % 2 ** 32) + 2 ** 32) % 2 ** 32;
}
