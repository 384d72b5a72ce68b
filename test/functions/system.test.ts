import { describe, expect, it } from "vitest";
import { createTraffic } from "../../functions/traffic.ts";
import type { Engine, EngineStatus } from "../../shared/engine.ts";
import { NO_USAGE } from "../../shared/openai/usage.ts";
import { dummy, entryOf, testApp } from "../harness/app.ts";
import { chat, type Json } from "../harness/wire.ts";

function engineIn(state: EngineStatus["state"], reason?: string): Engine {
  const status = {
    state,
    active: 2,
    queued: 3,
    details: { threads: 4 },
    ...(reason === undefined ? {} : { reason }),
  };
  return { ...dummy(), id: "engine-1", status: () => status };
}

const get = async (app: ReturnType<typeof testApp>, path: string) => {
  const response = await app.rawFetch(path);
  const body: Json = await response.json();
  return { status: response.status, headers: response.headers, body };
};

describe("readiness", () => {
  it.each(["stopped", "starting", "failed"] as const)(
    "is 503 with the reason while the only engine is %s",
    async (state) => {
      const app = testApp({ engines: [entryOf(engineIn(state, "The model is loading."))] });
      const { status, headers, body } = await get(app, "/health/ready");
      expect(status).toBe(503);
      expect(headers.get("retry-after")).toBe("1");
      expect(body).toEqual({
        status: "unavailable",
        engines: [{ id: "engine-1", state, reason: "The model is loading." }],
      });
      expect((await get(app, "/health")).status).toBe(200);
    },
  );

  it("is there as soon as one engine is ready", async () => {
    const app = testApp({ engines: [entryOf(engineIn("failed")), entryOf(dummy(), { id: "m2" })] });
    expect(await get(app, "/health/ready")).toMatchObject({ status: 200, body: { status: "ready" } });
  });
});

describe("the status", () => {
  it("shows engines, models, queue and traffic", async () => {
    let now = 0;
    const app = testApp({ engines: [entryOf(engineIn("ready"))], now: () => now });
    await app.post("/v1/chat/completions", chat("one two"));
    now += 10_000;
    expect((await get(app, "/v1/system/status")).body).toEqual({
      status: "ready",
      uptime_seconds: 10,
      platform: { system: "test" },
      resources: {},
      engines: [
        {
          id: "engine-1",
          state: "ready",
          models: ["sluice-demo"],
          active: 2,
          queued: 3,
          details: { threads: 4 },
        },
      ],
      models: [{ id: "sluice-demo", engine: "engine-1" }],
      queue: { queued: 3 },
      traffic: {
        in_flight: 0,
        requests_total: 1,
        failures_total: 0,
        prompt_tokens_total: 2,
        completion_tokens_total: 2,
        requests_per_second: 0.1,
        completion_tokens_per_second: 0.2,
      },
    });
  });
});

describe("the traffic", () => {
  const clockAt = (start: number) => {
    const clock = { at: start, now: () => clock.at, monotonic: () => clock.at };
    return clock;
  };
  const used = (completionTokens: number) => ({ ...NO_USAGE, completionTokens });

  it("gives rates over the last minute, and totals for ever", () => {
    const clock = clockAt(1_000_000);
    const traffic = createTraffic(clock);
    for (let i = 0; i < 60; i++) {
      traffic.started();
      traffic.ended(used(10), i % 2 === 0);
      clock.at += 1000;
    }
    // Whole seconds are counted: of the minute, up to one may be missing.
    expect(traffic.summary().requests_per_second).toBeCloseTo(1, 1);
    expect(traffic.summary().completion_tokens_per_second).toBeCloseTo(10, -1);
    clock.at += 60_000;
    expect(traffic.summary()).toEqual({
      in_flight: 0,
      requests_total: 60,
      failures_total: 30,
      prompt_tokens_total: 0,
      completion_tokens_total: 600,
      requests_per_second: 0,
      completion_tokens_per_second: 0,
    });
  });

  it("does not count what was refused", () => {
    const traffic = createTraffic(clockAt(0));
    traffic.started();
    expect(traffic.inFlight).toBe(1);
    traffic.refused();
    expect(traffic.summary()).toMatchObject({ in_flight: 0, requests_total: 0 });
  });
});
