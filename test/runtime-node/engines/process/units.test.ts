import { describe, expect, it } from "vitest";
import { createHttpEngine } from "../../../../functions/backends/http-engine.ts";
import { createBackoff } from "../../../../runtime-node/engines/process-backoff.ts";
import { createWorkload, nextLook } from "../../../../runtime-node/engines/process-liveness.ts";
import { createProcessLog } from "../../../../runtime-node/engines/process-log.ts";
import { watchedTransport } from "../../../../runtime-node/engines/supervised-transport.ts";
import type { EngineLogLine } from "../../../../shared/engine.ts";
import { chatCall } from "../../../harness/calls.ts";

describe("the log", () => {
  const texts = (lines: readonly EngineLogLine[]) => lines.map(({ text }) => text);

  it("makes lines of pieces, and of a progress bar's drawings", () => {
    const log = createProcessLog();
    log.write("a\nb");
    log.write("c\r\n10%\r50%\r");
    log.write("100%");
    log.flush();
    expect(texts(log.lines())).toEqual(["a", "bc", "10%", "50%", "100%"]);
  });

  it("keeps the last lines, numbered through, and cuts long ones", () => {
    const log = createProcessLog({ maxLines: 2, maxChars: 5 });
    log.write("one\ntwo\nfar too long\n");
    expect(log.lines().map(({ number, text }) => [number, text])).toEqual([
      [2, "two"],
      [3, "far t …"],
    ]);
    expect(texts(log.lines(1))).toEqual(["far t …"]);
  });

  it("takes out colours and keys", () => {
    const log = createProcessLog({ secrets: ["sk-1"] });
    log.write("\u001b[32mkey=sk-1\u001b[0m\n");
    expect(texts(log.lines())).toEqual(["key=[key]"]);
  });

  it("tells subscribers until they leave", () => {
    const log = createProcessLog();
    const heard: string[] = [];
    const leave = log.subscribe(({ text }) => heard.push(text));
    log.note("one");
    leave();
    log.note("two");
    expect(heard).toEqual(["one"]);
  });
});

describe("the backoff", () => {
  function backoffAt() {
    const clock = { ms: 0 };
    const backoff = createBackoff({ monotonic: () => clock.ms, random: () => 0.5 });
    return { clock, backoff };
  }

  it("doubles from a second to a minute, and rests after five failures in ten minutes", () => {
    const { clock, backoff } = backoffAt();
    const waits = Array.from({ length: 4 }, () => {
      backoff.failed(false);
      const waitMs = backoff.waitMs();
      clock.ms += waitMs;
      return waitMs;
    });
    expect(waits).toEqual([1000, 2000, 4000, 8000]);
    expect(backoff.restMs()).toBe(0);
    backoff.failed(false);
    expect(backoff.restMs()).toBe(60_000);
    clock.ms += 60_000;
    expect(backoff.restMs()).toBe(0);
  });

  it("never waits longer than a minute", () => {
    const { backoff } = backoffAt();
    for (let i = 0; i < 20; i++) backoff.failed(false);
    expect(backoff.waitMs()).toBe(60_000);
  });

  it("forgets failures after five healthy minutes, or old ones, or when told", () => {
    const { clock, backoff } = backoffAt();
    for (let i = 0; i < 4; i++) backoff.failed(false);
    backoff.succeeded();
    clock.ms += 300_000;
    backoff.failed(false);
    expect(backoff.waitMs()).toBe(1000);
    for (let i = 0; i < 3; i++) backoff.failed(false);
    clock.ms += 600_000;
    backoff.failed(false);
    expect(backoff.waitMs()).toBe(1000);
    backoff.failed(true);
    expect(backoff.restMs()).toBe(60_000);
    backoff.reset();
    expect([backoff.restMs(), backoff.waitMs()]).toEqual([0, 0]);
  });
});

describe("liveness", () => {
  const limits = { canaryMs: 1, canaryTimeoutMs: 1, misses: 3, tokenGapMs: 60, answerMs: 900 };
  it.each([
    ["idle", 0, 0, 0, "probe"],
    ["streaming", 1, 0, 59, "none"],
    ["streaming, silent", 1, 0, 60, "probe"],
    ["a whole answer on its way", 0, 1, 59, "none"],
    ["a whole answer on its way for long", 0, 1, 60, "ping"],
    ["a whole answer on its way for too long", 0, 1, 900, "overdue"],
    ["both, silent", 1, 1, 900, "probe"],
  ] as const)("%s", (_name, streams, wholeAnswers, quietMs, look) => {
    expect(nextLook({ streams, wholeAnswers, quietMs }, limits)).toBe(look);
  });

  it("is measured from the last sign of any of the work, or its begin", () => {
    let now = 0;
    const workload = createWorkload(() => now);
    now = 100;
    const one = workload.begin("stream");
    expect(workload.current()).toEqual({ streams: 1, wholeAnswers: 0, quietMs: 0 });
    now = 150;
    const two = workload.begin("whole");
    expect(workload.current().quietMs).toBe(50);
    two.sign();
    expect(workload.current().quietMs).toBe(0);
    one.end();
    one.end();
    two.end();
    expect(workload.current()).toMatchObject({ streams: 0, wholeAnswers: 0 });
  });

  it("counts no stream whose client left before its first byte", async () => {
    const workload = createWorkload(() => 0);
    const engine = createHttpEngine({
      id: "fake",
      url: "http://127.0.0.1:1/v1",
      apiKey: undefined,
      headers: {},
      models: ["m"],
      headersTimeoutMs: 1000,
      idleTimeoutMs: 1000,
      transport: watchedTransport(async () => new Response("data: [DONE]\n\n"), workload),
    });
    const { body } = await engine.respond(
      chatCall("m", { messages: [{ role: "user", content: "hi" }], stream: true }),
    );
    expect(workload.current().streams).toBe(1);
    await body?.cancel();
    expect(workload.current().streams).toBe(0);
  });
});
