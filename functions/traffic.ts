import type { Usage } from "../shared/openai/usage.ts";
import type { Clock } from "./deps.ts";

/** What went through this process: for `/v1/system/status`, and the count that admission looks at. */
export interface Traffic {
  readonly inFlight: number;
  started(): void;
  /** Takes back a start: the request was not let in. */
  refused(): void;
  ended(usage: Usage, isFailure: boolean): void;
  summary(): TrafficSummary;
}

export interface TrafficSummary {
  readonly in_flight: number;
  readonly requests_total: number;
  readonly failures_total: number;
  readonly prompt_tokens_total: number;
  readonly completion_tokens_total: number;
  /** Over the last minute, of requests that ended in it. */
  readonly requests_per_second: number;
  readonly completion_tokens_per_second: number;
}

const WINDOW_MS = 60_000;

export function createTraffic(clock: Clock): Traffic {
  const startedAt = clock.monotonic();
  let inFlight = 0;
  let requests = 0;
  let failures = 0;
  let promptTokens = 0;
  let completionTokens = 0;
  /** One bucket a second of the last minute. */
  const buckets = new Map<number, { requests: number; tokens: number }>();
  const second = () => Math.floor(clock.monotonic() / 1000);

  return {
    get inFlight() {
      return inFlight;
    },
    started() {
      inFlight++;
    },
    refused() {
      inFlight--;
    },
    ended(usage, isFailure) {
      inFlight--;
      requests++;
      if (isFailure) failures++;
      promptTokens += usage.promptTokens;
      completionTokens += usage.completionTokens;
      const bucket = buckets.get(second()) ?? { requests: 0, tokens: 0 };
      bucket.requests++;
      bucket.tokens += usage.completionTokens;
      buckets.set(second(), bucket);
      for (const key of buckets.keys()) {
        if (key > second() - WINDOW_MS / 1000) break;
        buckets.delete(key);
      }
    },
    summary() {
      const from = second() - WINDOW_MS / 1000;
      const recent = [...buckets].filter(([key]) => key > from).map(([, bucket]) => bucket);
      const seconds = Math.max(1, Math.min(WINDOW_MS, clock.monotonic() - startedAt) / 1000);
      const perSecond = (total: number) => Math.round((total / seconds) * 100) / 100;
      return {
        in_flight: inFlight,
        requests_total: requests,
        failures_total: failures,
        prompt_tokens_total: promptTokens,
        completion_tokens_total: completionTokens,
        requests_per_second: perSecond(recent.reduce((sum, bucket) => sum + bucket.requests, 0)),
        completion_tokens_per_second: perSecond(recent.reduce((sum, bucket) => sum + bucket.tokens, 0)),
      };
    },
  };
}
