import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type MeterOptions, meter } from "../../functions/meter.ts";
import type { CallReport } from "../../shared/engine.ts";
import type { Outcome } from "../../shared/ledger.ts";
import { type ApiError, badGateway, gatewayTimeout } from "../../shared/openai/errors.ts";
import { NO_USAGE } from "../../shared/openai/usage.ts";

const KEEP_ALIVE_MS = 1000;

/** A meter over a body that is fed by hand. */
function metered(more: Partial<MeterOptions> = {}, opening?: Promise<Response>) {
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  let cancelled: unknown;
  const body = new ReadableStream<Uint8Array>({
    start: (made) => {
      controller = made;
    },
    cancel: (reason) => {
      cancelled = reason ?? "cancelled";
    },
  });
  let leaves = 0;
  let tokens = 0;
  let firstTokens = 0;
  const client = new AbortController();
  const read = () => ({ usage: { ...NO_USAGE, completionTokens: tokens }, source: "engine" as const });
  const report: CallReport = { read, failure: undefined };
  const outcomes: Outcome[] = [];
  let checkpoints = 0;
  const stream = meter(opening ?? Promise.resolve(new Response(body)), {
    report,
    client: client.signal,
    onLeave: () => {
      leaves++;
      return "stop";
    },
    keepAliveMs: KEEP_ALIVE_MS,
    checkpoint: () => void checkpoints++,
    onFirstToken: () => void firstTokens++,
    settle: (outcome) => void outcomes.push(outcome),
    ...more,
  });
  return {
    reader: stream.getReader(),
    client,
    /** How often the engine was told that the client left. */
    leaves: () => leaves,
    firstTokens: () => firstTokens,
    /** What the engine has made so far. */
    made: (count: number) => {
      tokens = count;
    },
    report,
    outcomes,
    checkpoints: () => checkpoints,
    cancelled: () => cancelled,
    send: (text: string) => controller?.enqueue(new TextEncoder().encode(text)),
    end: () => controller?.close(),
    fail: (reason: unknown) => controller?.error(reason),
  };
}

type Metered = ReturnType<typeof metered>;
async function readText({ reader }: Metered): Promise<string | undefined> {
  const { value } = await reader.read();
  return value === undefined ? undefined : new TextDecoder().decode(value);
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("the bytes", () => {
  it("pass as they came, and the stream settles once at its end", async () => {
    const it = metered();
    it.send("data: 1\n\n");
    expect(await readText(it)).toBe("data: 1\n\n");
    expect(it.outcomes).toEqual([]);
    it.end();
    expect(await readText(it)).toBeUndefined();
    expect(it.outcomes).toEqual(["completed"]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("are asked for only when the client asks", async () => {
    let pulls = 0;
    const body = new ReadableStream<Uint8Array>(
      {
        pull: (controller) => {
          pulls++;
          controller.enqueue(new Uint8Array([pulls]));
        },
      },
      { highWaterMark: 0 },
    );
    const it = metered({}, Promise.resolve(new Response(body)));
    await it.reader.read();
    await vi.advanceTimersByTimeAsync(10 * KEEP_ALIVE_MS);
    expect(pulls).toBe(1);
    await it.reader.cancel();
  });
});

describe("the end is settled once", () => {
  it.each<[Outcome, ApiError]>([
    ["upstream_error", badGateway("it broke")],
    ["timeout", gatewayTimeout("it was slow")],
  ])("as %s when the engine reported so", async (outcome, failure) => {
    const it = metered();
    it.report.failure = failure;
    it.end();
    await readText(it);
    expect(it.outcomes).toEqual([outcome]);
  });

  it("as upstream_error when the body breaks, after one error event that hides why", async () => {
    const it = metered();
    it.fail(new Error("sk-secret"));
    const text = await readText(it);
    expect(text).toMatch(/^data: \{"error":\{.*"server_error".*\}\}\n\n$/);
    expect(text).not.toContain("sk-secret");
    expect(await readText(it)).toBeUndefined();
    expect(it.outcomes).toEqual(["upstream_error"]);
  });

  it("as upstream_error when the engine refuses after the headers went out", async () => {
    const it = metered({}, Promise.reject(badGateway("no backend")));
    expect(await readText(it)).toContain("no backend");
    expect(await readText(it)).toBeUndefined();
    expect(it.outcomes).toEqual(["upstream_error"]);
  });

  it("as client_aborted when the client cancels, read or unread, and the engine is stopped", async () => {
    for (const isRead of [false, true]) {
      const it = metered();
      if (isRead) {
        it.send("data: 1\n\n");
        await readText(it);
      }
      await it.reader.cancel("gone");
      expect(it.outcomes).toEqual(["client_aborted"]);
      expect(it.leaves()).toBe(1);
      expect(it.cancelled()).toBeDefined();
      expect(vi.getTimerCount()).toBe(0);
    }
  });

  it("as client_aborted when the client cancels while a read waits", async () => {
    const it = metered();
    const waiting = it.reader.read();
    await vi.advanceTimersByTimeAsync(1);
    await it.reader.cancel("gone");
    await waiting;
    expect(it.outcomes).toEqual(["client_aborted"]);
  });

  it("only when the engine has stopped, so that its last tokens are counted", async () => {
    const stopped = Promise.withResolvers<void>();
    const body = new ReadableStream<Uint8Array>({ cancel: () => stopped.promise });
    const it = metered({}, Promise.resolve(new Response(body)));
    const waiting = it.reader.read();
    await vi.advanceTimersByTimeAsync(1);
    const cancelled = it.reader.cancel("gone");
    await waiting;
    await vi.advanceTimersByTimeAsync(1);
    expect(it.outcomes).toEqual([]);
    stopped.resolve();
    await cancelled;
    expect(it.outcomes).toEqual(["client_aborted"]);
  });

  it("as client_aborted when the request's signal says so, without an error event", async () => {
    const it = metered();
    const waiting = readText(it);
    it.client.abort();
    expect(await waiting).toBeUndefined();
    expect(it.outcomes).toEqual(["client_aborted"]);
    expect(it.leaves()).toBe(1);
    await it.reader.cancel();
    expect(it.outcomes).toEqual(["client_aborted"]);
  });

  it("as client_aborted at the engine's own end, where what a client leaves is drained", async () => {
    const it = metered({ onLeave: () => "drain" });
    it.send("data: 1\n\n");
    await readText(it);
    const cancelled = it.reader.cancel("gone");
    for (let i = 0; i < 5; i++) it.send("data: 2\n\n");
    await vi.advanceTimersByTimeAsync(1);
    expect(it.outcomes).toEqual([]);
    it.end();
    await cancelled;
    expect(it.outcomes).toEqual(["client_aborted"]);
    expect(it.cancelled()).toBeUndefined();
  });

  it("before the engine has opened, too", async () => {
    const opening = Promise.withResolvers<Response>();
    const it = metered({}, opening.promise);
    const waiting = it.reader.read();
    const cancelled = it.reader.cancel("gone");
    expect(it.leaves()).toBe(1);
    opening.reject(new Error("stopped"));
    await Promise.all([waiting, cancelled]);
    expect(it.outcomes).toEqual(["client_aborted"]);
  });
});

describe("comments keep a silent stream alive", () => {
  it("while a client waits, before each keepAliveMs is over", async () => {
    const it = metered();
    const waiting = it.reader.read();
    await vi.advanceTimersByTimeAsync(KEEP_ALIVE_MS);
    expect(new TextDecoder().decode((await waiting).value)).toBe(": ping\n\n");
    await it.reader.cancel();
  });

  it("also before the engine has opened", async () => {
    const it = metered({}, new Promise(() => {}));
    const waiting = it.reader.read();
    await vi.advanceTimersByTimeAsync(KEEP_ALIVE_MS);
    expect(new TextDecoder().decode((await waiting).value)).toBe(": ping\n\n");
    void it.reader.cancel();
  });

  it("but are not sent while data flows", async () => {
    const it = metered();
    for (let i = 0; i < 10; i++) {
      const waiting = readText(it);
      await vi.advanceTimersByTimeAsync(KEEP_ALIVE_MS / 4);
      it.send("data: 1\n\n");
      expect(await waiting).toBe("data: 1\n\n");
    }
    await it.reader.cancel();
  });

  it("nor pile up for a client that does not read", async () => {
    const it = metered();
    it.send("data: 1\n\n");
    await readText(it);
    await vi.advanceTimersByTimeAsync(100 * KEEP_ALIVE_MS);
    it.send("data: 2\n\n");
    expect(await readText(it)).toBe("data: 2\n\n");
    await it.reader.cancel();
  });

  it("nor go to a client that left, while what it asked for is drained", async () => {
    const it = metered({ onLeave: () => "drain" });
    const waiting = it.reader.read();
    await vi.advanceTimersByTimeAsync(1);
    const cancelled = it.reader.cancel("gone");
    await vi.advanceTimersByTimeAsync(10 * KEEP_ALIVE_MS);
    expect(await waiting).toEqual({ done: true, value: undefined });
    it.end();
    await cancelled;
    expect(it.outcomes).toEqual(["client_aborted"]);
  });

  it("and never with a keepAliveMs of 0", async () => {
    const it = metered({ keepAliveMs: 0 });
    const waiting = readText(it);
    await vi.advanceTimersByTimeAsync(100 * KEEP_ALIVE_MS);
    it.send("data: 1\n\n");
    expect(await waiting).toBe("data: 1\n\n");
    await it.reader.cancel();
  });
});

it("checkpoints every thousand tokens, however fast they come", async () => {
  const it = metered({ keepAliveMs: 0 });
  for (let chunk = 1; chunk <= 257; chunk++) {
    it.made(chunk * 10);
    it.send("data: x\n\n");
    await readText(it);
  }
  expect(it.checkpoints()).toBe(2);
  await it.reader.cancel();
});

it("tells once when the first token goes out: an opening role has none", async () => {
  const it = metered();
  it.send("data: role\n\n");
  await readText(it);
  expect(it.firstTokens()).toBe(0);
  it.made(1);
  for (const text of ["a", "b"]) {
    it.send(text);
    await readText(it);
  }
  expect(it.firstTokens()).toBe(1);
  await it.reader.cancel();
});
