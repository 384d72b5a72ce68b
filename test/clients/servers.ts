import { afterAll, beforeAll, describe, expect, inject, vi } from "vitest";
import { z } from "zod";
import { createDummyEngine } from "../../shared/dummy-engine.ts";
import type { Engine } from "../../shared/engine.ts";
import { DEMO_MODEL, testEngine } from "../harness/demo-engine.ts";
import { startEdge } from "../harness/edge.ts";
import { startHost } from "../harness/host.ts";
import { startFrontDoor } from "./front-door.ts";

export const MODEL = "sluice-demo";
/** Both servers refuse larger bodies. */
export const BODY_BYTES = 16_384;

/** The one question that has a known answer. */
export const PROMPT = "How is the weather in Paris on a Monday morning?";
/** Deterministic on every engine, and short. */
export const ASK = {
  model: MODEL,
  messages: [{ role: "user" as const, content: PROMPT }],
  temperature: 0,
  seed: 7,
  max_completion_tokens: 24,
};

/** The dummy engine stops here until its client leaves: an answer to `LONG` never ends by itself. */
const HELD_TOKEN = 40;
export const LONG = Array.from({ length: 2 * HELD_TOKEN }, (_, i) => `word${i}`).join(" ");
/** So hot that a real model hardly comes to an end. */
export const LONG_SAMPLING = { temperature: 2, seed: 7 };

export interface ClientServer {
  /** What OpenAI's clients take as their base URL. */
  readonly baseURL: string;
  /** The answer to `ASK`, fetched from the host without any client library. */
  readonly known: KnownAnswer;
  /** Requests in progress anywhere behind `baseURL`: in the engine, and on the way to it. */
  active(): Promise<number>;
}

export interface KnownAnswer {
  readonly text: string;
  readonly finish: "stop" | "length";
  readonly promptTokens: number;
  readonly completionTokens: number;
}

interface EngineCase {
  readonly name: string;
  readonly create: () => Promise<Engine>;
  /** Throws where the answer to `ASK` can't be this engine's. */
  readonly expectAnswer: (text: string) => void;
}

/** The demo model, in process or on a real engine. */
const DEMO: EngineCase = {
  name: inject("realEngine")?.name ?? "llama.cpp engine",
  create: () => testEngine(2048),
  expectAnswer: (text) => expect(text).toMatch(/\w/),
};

const ENGINES: readonly EngineCase[] = [
  {
    name: "dummy engine",
    create: async () =>
      createDummyEngine({
        beforeToken: (index, signal) => (index < HELD_TOKEN ? Promise.resolve() : aborted(signal)),
      }),
    expectAnswer: (text) => expect(text).toBe(PROMPT),
  },
  DEMO,
];

/** A host with an engine, and the Worker in workerd that forwards to that host. */
export interface ClientStack {
  readonly host: ClientServer;
  readonly worker: ClientServer;
}

/** Runs `suite` once an engine. */
export function describeStacks(suite: (stack: ClientStack) => void): void {
  describe.each(inject("realEngine") === undefined ? ENGINES : [DEMO])(
    "$name",
    ({ create, expectAnswer }) => {
      let started: Awaited<ReturnType<typeof startStack>> | undefined;
      const running = () => started ?? expect.unreachable("The servers have not started");
      beforeAll(async () => {
        started = await startStack(create);
        expectAnswer(started.known.text);
      }, STARTUP_MS);
      afterAll(() => started?.close());

      /** Read when a test runs: only then the servers are there. */
      const serverAt = (front: "host" | "worker", active: ClientServer["active"]): ClientServer => ({
        get baseURL() {
          return running()[front].baseURL;
        },
        get known() {
          return running().known;
        },
        active,
      });
      const activeInHost = () => activeAt(running().host.url);
      suite({
        host: serverAt("host", activeInHost),
        worker: serverAt(
          "worker",
          async () => (await activeInHost()) + (await activeAt(running().worker.url)),
        ),
      });
    },
  );
}

/** Runs `suite` on each engine against the host, and against the Worker. */
export function describeServers(suite: (server: ClientServer) => void): void {
  describeStacks(({ host, worker }) => {
    describe("host", () => suite(host));
    describe("Worker", () => suite(worker));
  });
}

/** Both ways to run the app, each in front of nothing but the config's backends. */
export const FRONTS = [
  { name: "host", start: (config: Record<string, unknown>) => startHost({ config }) },
  { name: "Worker", start: startWorker },
] as const;

/** The Worker behind a front door. */
async function startWorker(config: Record<string, unknown>) {
  const edge = await startEdge({ log: { level: "error" }, ...config });
  const door = await startFrontDoor(edge.url);
  return {
    url: door.url,
    baseURL: `${door.url}/v1`,
    close: async () => {
      await door.close();
      await edge.close();
    },
  };
}

/** How long bundling the Worker and starting workerd may take on a busy machine. */
export const STARTUP_MS = 60_000;

async function startStack(create: () => Promise<Engine>) {
  const limits = { bodyBytes: BODY_BYTES, drainMs: 0 };
  const engine = await create();
  await engine.initialize();
  const host = await startHost({ config: { models: [{ id: MODEL, source: DEMO_MODEL }], limits }, engine });
  const worker = await startWorker({ backends: [{ id: "box", url: host.baseURL }], limits });
  const known = await knownAnswer(host.baseURL);
  return {
    host,
    worker,
    known,
    close: async () => {
      await worker.close();
      await host.close();
    },
  };
}

const answer = z.object({
  choices: z.tuple([
    z.object({ message: z.object({ content: z.string() }), finish_reason: z.enum(["stop", "length"]) }),
  ]),
  usage: z.object({ prompt_tokens: z.number(), completion_tokens: z.number() }),
});

async function knownAnswer(baseURL: string): Promise<KnownAnswer> {
  const response = await fetch(`${baseURL}/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(ASK),
  });
  const { choices, usage } = answer.parse(await response.json());
  const [{ message, finish_reason }] = choices;
  return {
    text: message.content,
    finish: finish_reason,
    promptTokens: usage.prompt_tokens,
    completionTokens: usage.completion_tokens,
  };
}

const status = z.object({
  engines: z.array(z.object({ active: z.number() })),
  traffic: z.object({ in_flight: z.number() }),
});

/** Requests in progress at the server there, and in its engines. */
export async function activeAt(url: string): Promise<number> {
  const { engines, traffic } = status.parse(await (await fetch(`${url}/v1/system/status`)).json());
  return engines.reduce((sum, { active }) => sum + active, traffic.in_flight);
}

/** How often `untilActive` looks: far more than an abort needs, and an end to a loop that would not have one. */
const LOOKS = 3000;

/** Resolves as soon as `holds` is true of what is active behind `server`. */
export async function untilActive(
  server: Pick<ClientServer, "active">,
  holds: (active: number) => boolean,
): Promise<void> {
  let active = await server.active();
  for (let looks = 1; !holds(active); looks++) {
    if (looks === LOOKS) throw new Error(`Still ${active} active after ${LOOKS} looks`);
    active = await server.active();
  }
}

/**
 * For the rest of the file: only loopback can be fetched (LangChain would download a tokenizer to count tokens), and
 * LangChain's tracing is off.
 */
export function stayOnLoopback(): void {
  const { fetch } = globalThis;
  const outside: string[] = [];
  const guarded: typeof fetch = async (input, init) => {
    const { hostname, origin } = new URL(input instanceof Request ? input.url : input);
    if (hostname === "127.0.0.1") return fetch(input, init);
    outside.push(origin); // Clients may swallow the error.
    throw new TypeError(`${origin} is not on loopback`);
  };
  vi.stubGlobal("fetch", guarded);
  for (const name of [
    "LANGSMITH_TRACING",
    "LANGSMITH_TRACING_V2",
    "LANGCHAIN_TRACING",
    "LANGCHAIN_TRACING_V2",
  ])
    vi.stubEnv(name, "false");
  afterAll(() => {
    vi.unstubAllGlobals();
    vi.unstubAllEnvs();
    expect(outside, "what clients reached out to").toEqual([]);
  });
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

/** Rejects when `signal` aborts. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
