import {
  APIConnectionError,
  APIError,
  APIUserAbortError,
  BadRequestError,
  InternalServerError,
  RateLimitError,
} from "openai";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startUpstream, type Upstream } from "../harness/upstream.ts";
import { type ClientOptions, clientOf, failureOf } from "./openai-client.ts";
import { answer, cutStream, inTurn, refusal, silence } from "./replies.ts";
import { ASK, activeAt, FRONTS, MODEL, STARTUP_MS, stayOnLoopback, untilActive } from "./servers.ts";

stayOnLoopback();

describe.each(FRONTS)("$name in front of a scripted backend", ({ start }) => {
  let upstream: Upstream;
  let front: Awaited<ReturnType<typeof start>>;
  const chat = (options: ClientOptions = {}) => clientOf(front.baseURL, options).chat.completions;

  beforeAll(async () => {
    upstream = await startUpstream();
    front = await start({
      backends: [{ id: "scripted", url: upstream.url, models: [MODEL] }],
      limits: { inFlight: 1, drainMs: 0 },
    });
  }, STARTUP_MS);
  beforeEach(() => {
    upstream.requests.length = 0;
  });
  afterAll(async () => {
    await front.close();
    await upstream.close();
  });

  /** One place: a request that stays in it would be seen by the next test. */
  afterEach(() => untilActive({ active: () => activeAt(front.url) }, (active) => active === 0));

  const soon = { "retry-after-ms": "1" };

  it("H1 lets the client retry 503 and 429 until there is an answer", async () => {
    upstream.play(inTurn(refusal(503, null, soon), refusal(429, "rate_limit_exceeded", soon), answer));
    const { choices } = await chat({ maxRetries: 2 }).create(ASK);
    expect(choices[0]?.message.content).toBe("At last");
    expect(upstream.requests).toHaveLength(3);
  });

  it("H1 asks the backend once a try, and gives up with RateLimitError when the tries are used up", async () => {
    upstream.play(refusal(429, "rate_limit_exceeded", soon));
    const failure = await failureOf(chat({ maxRetries: 1 }).create(ASK));
    expect(failure).toBeInstanceOf(RateLimitError);
    expect(failure).toMatchObject({ status: 429, code: "rate_limit_exceeded" });
    expect(upstream.requests).toHaveLength(2);
  });

  it("H1 passes on when to come back", async () => {
    upstream.play(refusal(503, null, { "retry-after-ms": "1500" }));
    const failure = await failureOf(chat().create(ASK));
    if (!(failure instanceof InternalServerError)) throw failure;
    expect(failure.status).toBe(503);
    expect(failure.headers.get("retry-after-ms")).toBe("1500");
    expect(failure.headers.get("retry-after")).toBe("2");
  });

  it("H1 passes on that a retry is useless", async () => {
    upstream.play(refusal(429, "insufficient_quota", { ...soon, "x-should-retry": "false" }));
    const failure = await failureOf(chat({ maxRetries: 2 }).create(ASK));
    expect(failure).toBeInstanceOf(RateLimitError);
    expect(failure).toMatchObject({ code: "insufficient_quota" });
    expect(upstream.requests).toHaveLength(1);
  });

  it("does not have a refused request retried", async () => {
    upstream.play(inTurn(refusal(400, "invalid_value"), answer));
    expect(await failureOf(chat({ maxRetries: 2 }).create(ASK))).toBeInstanceOf(BadRequestError);
    expect(upstream.requests).toHaveLength(1);
  });

  it("answers 502 without details for the backend's own faults", async () => {
    upstream.play(refusal(500, "secret_code"));
    const failure = await failureOf(chat().create(ASK));
    expect(failure).toBeInstanceOf(InternalServerError);
    expect(failure).toMatchObject({ status: 502, code: null });
    expect(String(failure)).not.toContain("Refused with");
  });

  it("throws from a stream that the backend cut off, after what came", async () => {
    upstream.play(cutStream("One", " two", " three"));
    const stream = await chat({ maxRetries: 2 }).create({ ...ASK, stream: true });
    let text = "";
    const reading = async () => {
      for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
    };
    const failure = await failureOf(reading());
    expect(failure).toBeInstanceOf(APIError);
    expect(failure).toMatchObject({ type: "server_error" });
    expect(text).toBe("One two three");
    expect(upstream.requests).toHaveLength(1);
  });

  it("rejects the stream helper when the backend cut the stream off", async () => {
    upstream.play(cutStream("One"));
    expect(await failureOf(chat().stream(ASK).finalChatCompletion())).toBeInstanceOf(APIError);
  });

  it("closes the backend's connection when the client leaves", async () => {
    upstream.play(silence);
    const arrival = upstream.next();
    const controller = new AbortController();
    const failure = failureOf(chat().create(ASK, { signal: controller.signal }));
    const { closed } = await arrival;
    controller.abort();
    expect(await failure).toBeInstanceOf(APIUserAbortError);
    await closed;
  });

  it("H1 answers RateLimitError with a time to come back while its places are taken", async () => {
    upstream.play(silence);
    const arrival = upstream.next();
    const controller = new AbortController();
    const first = failureOf(chat().create(ASK, { signal: controller.signal }));
    await arrival;
    const failure = await failureOf(chat().create(ASK));
    controller.abort();
    if (!(failure instanceof RateLimitError)) throw failure;
    expect(failure.code).toBe("rate_limit_exceeded");
    expect(failure.headers.get("retry-after-ms")).toBe("1000");
    expect(await first).toBeInstanceOf(APIUserAbortError);
    expect(upstream.requests).toHaveLength(1);
  });
});

it("gives APIConnectionError when nothing listens", async () => {
  const upstream = await startUpstream();
  await upstream.close();
  const failure = await failureOf(clientOf(upstream.url).models.list());
  expect(failure).toBeInstanceOf(APIConnectionError);
});
