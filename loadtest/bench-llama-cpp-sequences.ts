import { chat, drain, type EngineBench, text, wish } from "./bench-llama-cpp-request.ts";
import { median } from "./median.ts";

/** The streams beside a long prompt are held up by no more than so many token times, or so many ms. */
const STALL_TOKENS = 5;
const STALL_MS = 250;
const ABORT_MS = 100;
const LONG_PROMPT_TOKENS = 900;

/** Streams at once write what each writes alone. */
export async function compareTexts({ engine, promise }: EngineBench): Promise<void> {
  for (const temperature of [0, 0.8]) {
    const requests = () =>
      Array.from({ length: 64 }, (_, seed) =>
        wish(chat(`${"Please. ".repeat(seed % 9)}Tell me about number ${seed}.`), { temperature, seed }),
      );
    const together = await Promise.all(requests().map((request) => drain(engine, request)));
    const alone: string[] = [];
    for (const request of requests()) alone.push(await drain(engine, request));
    const same = together.filter((text, i) => text === alone[i]).length;
    promise(
      same === 64,
      `64 streams at once, temperature ${temperature}: ${same} of 64 wrote what they write alone`,
    );
  }
}

/** A long prompt arrives beside 8 streams. */
export async function measureStall({ engine, banned, promise }: EngineBench): Promise<void> {
  const stop = new AbortController();
  const gaps: { readonly at: number; readonly ms: number }[] = [];
  const streams = Array.from({ length: 8 }, async (_, i) => {
    const request = wish(text(`Stream ${i} counts: one two`), {
      maxTokens: 1500,
      banned,
      signal: stop.signal,
    });
    let last = performance.now();
    for await (const event of engine.generate(request)) {
      if (event.type !== "text") continue;
      const now = performance.now();
      gaps.push({ at: now, ms: now - last });
      last = now;
    }
  });
  await until(() => gaps.length > 8 * 40);
  const arrived = performance.now();
  const tokenMs = median(gaps.slice(8 * 10).map((gap) => gap.ms));
  const tokens = Array.from({ length: LONG_PROMPT_TOKENS }, (_, i) => 100 + ((i * 37) % 900));
  await drain(engine, wish({ kind: "tokens", tokens }, { maxTokens: 1 }));
  const readMs = performance.now() - arrived;
  stop.abort();
  await Promise.allSettled(streams);
  const longest = Math.max(...gaps.filter((gap) => gap.at >= arrived).map((gap) => gap.ms));
  promise(
    longest <= Math.max(STALL_TOKENS * tokenMs, STALL_MS),
    `a ${LONG_PROMPT_TOKENS}-token prompt (read in ${ms(readMs)}) beside 8 streams: longest gap ${ms(longest)}, a token takes ${ms(tokenMs)}`,
  );
}

/** Sequences of streams that are aborted are free at once. */
export async function measureAbort({ engine, banned, promise }: EngineBench): Promise<void> {
  const stops = Array.from({ length: 64 }, () => new AbortController());
  let started = 0;
  const streams = stops.map(async ({ signal }, i) => {
    const request = wish(text(`Abort ${i}: one two`), { maxTokens: 1500, banned, signal });
    try {
      for await (const event of engine.generate(request)) if (event.type === "prompt") started++;
    } catch {} // Aborted, as it should be.
  });
  await until(() => started === 64);
  const start = performance.now();
  for (const stop of stops.slice(0, 32)) stop.abort();
  await until(() => engine.status().active === 32);
  const took = performance.now() - start;
  promise(took <= ABORT_MS, `32 of 64 streams aborted: their sequences were free after ${ms(took)}`);
  for (const stop of stops) stop.abort();
  await Promise.all(streams);
}

/** The same prompt again is not computed again. */
export async function measureCache({ engine, promise }: EngineBench): Promise<void> {
  const tokens = Array.from({ length: LONG_PROMPT_TOKENS }, (_, i) => 200 + ((i * 53) % 900));
  const [first, again] = [
    wish({ kind: "tokens", tokens }, { maxTokens: 1 }),
    wish({ kind: "tokens", tokens }, { maxTokens: 1 }),
  ];
  const start = performance.now();
  await drain(engine, first);
  const middle = performance.now();
  await drain(engine, again);
  const end = performance.now();
  const { cachedTokens } = again.counts;
  promise(
    cachedTokens === LONG_PROMPT_TOKENS - 1,
    `the same ${LONG_PROMPT_TOKENS} tokens again: ${cachedTokens} of them cached, first token after ${ms(end - middle)} instead of ${ms(middle - start)}`,
  );
}

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await new Promise<void>((resolve) => setTimeout(resolve, 1));
}

function ms(value: number): string {
  return `${value.toFixed(value < 10 ? 1 : 0)} ms`;
}
