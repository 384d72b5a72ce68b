import { once } from "node:events";
import { createServer } from "node:net";
import { expect, test } from "vitest";
import { monotonicMs } from "../../loadtest/clock.ts";
import { latenciesOf, recordOf, tokenGaps } from "../../loadtest/latencies.ts";
import { type MockOptions, startMock } from "../../loadtest/mock.ts";
import type { MockFault } from "../../loadtest/mock-faults.ts";
import { type Answer, createClient } from "../../loadtest/request.ts";
import { chatCall, getCall } from "../../loadtest/workload.ts";

const CHAT = { model: "mock", nonce: null, maxTokens: null, hasContinuousUsage: true };
const MESSAGES = [{ role: "user", content: "Hello" }] as const;

const PATIENT_MS = 20_000;

async function ask(
  options: MockOptions,
  { chat = CHAT, isStream = true, maxTokens = 100, timeoutMs = PATIENT_MS } = {},
): Promise<Answer> {
  const mock = await startMock(options);
  const client = createClient({ origin: mock.url, connections: 1, headers: {}, timeoutMs });
  try {
    return await client.send(
      chatCall({ name: "chat", messages: MESSAGES, maxTokens, isStream }, chat),
      monotonicMs(),
    );
  } finally {
    await client.close();
    await mock.close();
  }
}

function recordOfAnswer(answer: Answer) {
  const place = { n: 0, user: null, point: null, phase: "measured", method: "POST", name: "chat" } as const;
  return recordOf(answer, { ...place, maxTokens: 100, zeroAt: answer.intendedAt });
}

const FAULTS: readonly (readonly [MockFault, string])[] = [
  ["http_400", "http_4xx"],
  ["http_429", "http_429"],
  ["http_500", "http_5xx"],
  ["reset", "connect"],
  ["hang_headers", "timeout_headers"],
  ["hang_stream", "timeout_idle"],
  ["stream_error", "stream_error"],
  ["truncated", "truncated"],
  ["cut", "truncated"],
  ["empty_stream", "empty_stream"],
  ["bad_json", "bad_json"],
];

test.concurrent.each(FAULTS)("%s is a failure of the kind %s", async (fault, kind) => {
  const answer = await ask(
    { fault, errorRate: 1 },
    { timeoutMs: fault.startsWith("hang") ? 400 : PATIENT_MS },
  );
  expect(answer.failure?.kind).toBe(kind);
  expect(answer.failure?.error).not.toBe("");
});

test("a server that isn't there is a failure to connect", async () => {
  const mock = await startMock();
  await mock.close();
  const client = createClient({ origin: mock.url, connections: 1, headers: {}, timeoutMs: 400 });
  const { failure } = await client.send(getCall("/health", "/health"), monotonicMs());
  await client.close();
  expect(failure?.kind).toBe("connect");
});

test("a server behind TLS is asked for HTTP/1.1 alone: in HTTP/2 requests would share a connection", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const hello = new Promise<Buffer>((heard) => {
    server.once("connection", (socket) =>
      socket.once("data", (bytes) => {
        heard(bytes);
        socket.destroy();
      }),
    );
  });
  const address = server.address();
  const port = typeof address === "object" ? address?.port : 0;
  const origin = `https://127.0.0.1:${port}`;
  const client = createClient({ origin, connections: null, headers: {}, timeoutMs: PATIENT_MS });
  const [protocols, { failure }] = await Promise.all([
    hello,
    client.send(getCall("/health", "/health"), monotonicMs()),
  ]);
  await client.close();
  server.close();
  expect(failure?.kind).toBe("connect");
  expect(protocols.includes("\x08http/1.1")).toBe(true);
  expect(protocols.includes("\x02h2")).toBe(false);
});

test("what is ended by the load tester carries its reason, in flight or still waiting for a connection", async () => {
  const mock = await startMock({ fault: "hang_headers", errorRate: 1 });
  const client = createClient({ origin: mock.url, connections: 1, headers: {}, timeoutMs: 60_000 });
  const call = chatCall({ name: "chat", messages: MESSAGES, maxTokens: 1, isStream: true }, CHAT);
  const answers = [client.send(call, monotonicMs()), client.send(call, monotonicMs())];
  client.abort("aborted");
  const kinds = (await Promise.all(answers)).map(({ failure }) => failure?.kind);
  await mock.close();
  expect(kinds).toEqual(["aborted", "aborted"]);
});

test("several tokens a chunk: gaps of chunks and of tokens are two metrics, and TPOT leaves out the first chunk's", async () => {
  const answer = await ask({ tokens: 12, tokensPerChunk: 4, itlMs: 8 });
  const record = recordOfAnswer(answer);
  expect(record).toMatchObject({ failure: null, chunks: 3, firstChunkTokens: 4, tokenSource: "continuous" });
  const gaps = answer.stream?.gapsMs ?? [];
  expect(tokenGaps(answer)).toEqual(gaps.map((ms) => ({ ms: ms / 4, tokens: 4 })));
  const decodeMs = (record.lastToken ?? 0) - (record.firstToken ?? 0);
  expect(latenciesOf(record).tpot).toBeCloseTo(decodeMs / 8, 3);
});

test("without a count in each chunk, ITL is known only where chunks are as many as tokens", async () => {
  const chat = { ...CHAT, hasContinuousUsage: false };
  const single = await ask({ tokens: 6 }, { chat });
  expect(recordOfAnswer(single)).toMatchObject({ tokenSource: "usage", firstChunkTokens: 1 });
  expect(tokenGaps(single)).toHaveLength(5);
  const several = await ask({ tokens: 12, tokensPerChunk: 4 }, { chat });
  expect(recordOfAnswer(several)).toMatchObject({ firstChunkTokens: 4, tokens: { completion: 12 } });
  expect(tokenGaps(several)).toBeUndefined();
  const silent = await ask({ tokens: 6, usage: "none" }, { chat });
  expect(recordOfAnswer(silent)).toMatchObject({ tokenSource: "chunks", tokens: { completion: 6 } });
});

test("all in the first chunk: TPOT is undefined, not 0", async () => {
  const record = recordOfAnswer(await ask({ tokens: 5, tokensPerChunk: 5 }));
  expect(record).toMatchObject({ failure: null, chunks: 1, finish: "stop" });
  expect(latenciesOf(record).tpot).toBeUndefined();
});

test("reasoning counts as a token once, and the first output comes after it", async () => {
  const record = recordOfAnswer(await ask({ tokens: 4, reasoningTokens: 2, itlMs: 8 }));
  expect(record.tokens).toMatchObject({ completion: 4, reasoning: 2 });
  expect(record.firstOutput).toBeGreaterThan(record.firstToken ?? Number.POSITIVE_INFINITY);
});

test("an answer in one piece has tokens and no first one", async () => {
  const answer = await ask({ tokens: 9 }, { isStream: false, maxTokens: 7 });
  expect(recordOfAnswer(answer)).toMatchObject({
    failure: null,
    firstToken: null,
    finish: "length",
    tokens: { completion: 7 },
  });
});

test("waiting for a connection is part of the latency, and shown as queueing", async () => {
  const mock = await startMock({ ttftMs: 30, tokens: 1 });
  const client = createClient({ origin: mock.url, connections: 1, headers: {}, timeoutMs: 5000 });
  const call = chatCall({ name: "chat", messages: MESSAGES, maxTokens: 1, isStream: true }, CHAT);
  const [first, second] = await Promise.all([
    client.send(call, monotonicMs()),
    client.send(call, monotonicMs()),
  ]);
  await client.close();
  await mock.close();
  expect(first).toBeDefined();
  const { queue, ttft, service } = latenciesOf(recordOfAnswer(second));
  expect(queue).toBeGreaterThanOrEqual(30);
  expect(ttft).toBeGreaterThanOrEqual(60);
  expect(service).toBeLessThan(ttft ?? 0);
});
