import { beforeAll, expect, it } from "vitest";
import { median } from "../../loadtest/median.ts";
import { findTarget, mean, type Target } from "./target.ts";

/** The specification's goals. */
const HEALTH_MS = 100;
const RESPONSE_MS = 3000;

let target: Target;

beforeAll(async () => {
  target = await findTarget();
  // The first answer opens the connection, and fills what is computed once.
  await target.chat("你好", 5);
});

it("answers /health in less than 100 ms on average", async ({ task }) => {
  const times: number[] = [];
  for (let n = 0; n < 50; n++) {
    const startedAt = performance.now();
    const response = await fetch(`${target.url}/health`);
    await response.arrayBuffer();
    times.push(performance.now() - startedAt);
    expect(response.status).toBe(200);
  }
  task.meta.figures = {
    healthMeanMs: mean(times),
    healthMedianMs: median(times),
    healthMaxMs: Math.max(...times),
  };
  expect(mean(times)).toBeLessThan(HEALTH_MS);
});

it("answers a short chat in less than 3 s, and tells how many tokens a second", async ({ task }) => {
  const answers = [];
  for (let n = 0; n < 5; n++) answers.push(await target.chat("简短回复测试", 20));
  const times = answers.map(({ ms }) => ms);
  const speeds = answers.map(({ ms, completionTokens }) => (completionTokens / ms) * 1000);
  task.meta.figures = {
    responseMeanMs: mean(times),
    responseMaxMs: Math.max(...times),
    tokensPerSecondMean: mean(speeds),
    tokensPerSecondMedian: median(speeds),
  };
  expect(Math.max(...times)).toBeLessThan(RESPONSE_MS);
});
