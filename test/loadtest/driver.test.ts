import { expect, test } from "vitest";
import { monotonicMs } from "../../loadtest/clock.ts";
import { type ArrivalsOptions, arrivalsDrive, type Fire } from "../../loadtest/driver.ts";

const NEVER: Fire = () => Promise.reject(new Error("nothing is sent here"));

function drive(options: Pick<ArrivalsOptions, "arrivals" | "maxInFlight" | "send">, stop: AbortController) {
  return arrivalsDrive({ durationMs: null, requests: null, ...options }).run({
    fire: NEVER,
    startAt: monotonicMs(),
    endAt: Number.POSITIVE_INFINITY,
    signal: stop.signal,
    onUsers() {},
    onSlip() {},
  });
}

test("a schedule that is never caught up with leaves answers, seconds and Ctrl-C their turn", async () => {
  const most = 1_000_000;
  const stop = new AbortController();
  let sent = 0;
  setImmediate(() => stop.abort());
  const send = async () => void sent++;
  await drive({ arrivals: Array.from({ length: most }, () => 0), maxInFlight: null, send }, stop);
  expect(sent).toBeGreaterThan(0);
  expect(sent).toBeLessThan(most);
});

test("what waits for a place is sent when one is free, and not after an interrupt", async () => {
  const stop = new AbortController();
  const sent: number[] = [];
  const send = async (n: number) => {
    sent.push(n);
    if (n === 3) stop.abort();
  };
  await drive({ arrivals: Array.from({ length: 10 }, () => 0), maxInFlight: 1, send }, stop);
  expect(sent).toEqual([0, 1, 2, 3]);
});
