import { once } from "node:events";
import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";
import { monotonicMs } from "./clock.ts";
import type { Answer, Call } from "./request.ts";
import type { UserChange } from "./window.ts";

/** Sends one call and keeps its record; resolves with the answer. `user` is null in the open loop. */
export type Fire = (call: Call, intendedAt: number, user: number | null) => Promise<Answer>;

export interface Pace {
  readonly fire: Fire;
  /** By `monotonicMs`. */
  readonly startAt: number;
  /** No request is due from here on; infinite where something else ends the run. */
  readonly endAt: number;
  /** Stops sending; who aborts it ends what is in flight. */
  readonly signal: AbortSignal;
  readonly onUsers: (change: UserChange) => void;
  /** Open loop: how much later than due a request was handled, in ms. */
  readonly onSlip: (ms: number) => void;
}

/** A load that can be driven once. */
export interface Drive {
  /** Of the closed loop; null in the open one. */
  readonly users: number | null;
  /** The mean, of users. */
  readonly thinkMs: number | null;
  /** Null: one for each request in flight. */
  readonly connections: number | null;
  /** Null: until its last request. */
  readonly durationMs: number | null;
  /** Resolves when every answer is there. */
  run(pace: Pace): Promise<void>;
}

export interface UsersOptions {
  readonly users: number;
  readonly spawnPerSecond: number;
  readonly durationMs: number | null;
  /** In all, by all users; null: no limit. */
  readonly requests: number | null;
  readonly thinkMs: number;
  call(user: number, n: number): Call;
  thinkAfterMs(user: number, n: number): number;
}

/**
 * Virtual users that wait for each answer and think before the next request. A request is due when its user has
 * thought; what it then waits is its queueing.
 */
export function usersDrive(options: UsersOptions): Drive {
  const { users, spawnPerSecond, durationMs, requests, thinkMs } = options;
  return {
    users,
    thinkMs,
    connections: users,
    durationMs,
    async run({ fire, startAt, endAt, signal, onUsers }) {
      let left = requests ?? Number.POSITIVE_INFINITY;
      async function live(user: number): Promise<void> {
        let due = startAt + (user / spawnPerSecond) * 1000;
        if (due >= endAt || !(await waitUntil(due, signal)) || left === 0) return;
        onUsers({ event: "came", at: due });
        for (let n = 0; left > 0; n++) {
          left--;
          const { endAt: answeredAt } = await fire(options.call(user, n), due, user);
          if (n === 0) onUsers({ event: "warm", at: answeredAt });
          due = answeredAt + options.thinkAfterMs(user, n);
          if (!(await waitUntil(Math.min(due, endAt), signal)) || due >= endAt) break;
        }
        onUsers({ event: "left", at: Math.min(endAt, monotonicMs()) });
      }
      await Promise.all(Array.from({ length: users }, (_, user) => live(user)));
    },
  };
}

export interface ArrivalsOptions {
  /** ms from the start, rising. */
  readonly arrivals: Iterable<number>;
  readonly durationMs: number | null;
  /** In all; null: no limit. */
  readonly requests: number | null;
  /** Later ones wait for a place, and their waiting counts; null: no limit. */
  readonly maxInFlight: number | null;
  /** Sends the nth; resolves when its place is free again. */
  send(n: number, due: number, fire: Fire, signal: AbortSignal): Promise<unknown>;
}

/** The longest that a schedule sends without a turn for all else. */
const TURN_MS = 10;

/**
 * Sends on schedule whatever the server does. Each time it wakes it sends all that is due, so a millisecond timer
 * is no limit to the rate.
 */
export function arrivalsDrive(options: ArrivalsOptions): Drive {
  const { arrivals, durationMs, requests, maxInFlight } = options;
  return {
    users: null,
    thinkMs: null,
    connections: maxInFlight,
    durationMs,
    async run({ fire, startAt, endAt, signal, onSlip }) {
      const waiting: (() => void)[] = [];
      const open = new Set<Promise<unknown>>();
      let next = 0;
      const send = (n: number, due: number): void => {
        const sending = options.send(n, due, fire, signal).then(() => {
          open.delete(sending);
          if (!signal.aborted) waiting.shift()?.();
        });
        open.add(sending);
      };
      let turnAt = monotonicMs();
      for (const offset of arrivals) {
        const due = startAt + offset;
        if (due >= endAt || next === requests || !(await waitUntil(due, signal))) break;
        onSlip(monotonicMs() - due);
        const n = next++;
        if (open.size < (maxInFlight ?? Number.POSITIVE_INFINITY)) send(n, due);
        else waiting.push(() => send(n, due));
        // Behind schedule there is no wait, and without one no answer, second or Ctrl-C is heard.
        if (monotonicMs() - turnAt < TURN_MS) continue;
        await nextTurn();
        turnAt = monotonicMs();
      }
      // The load goes on to its end, though its last request may be answered before.
      if (requests === null && durationMs !== null) await waitUntil(endAt, signal);
      // What waited for a place comes in while the others end. Not a race: each would be watched again at every end.
      while (open.size > 0) await Promise.all(open);
    },
  };
}

/** False when the signal came first. A timer may fire a little early: then it waits on. */
export async function waitUntil(at: number, signal: AbortSignal): Promise<boolean> {
  for (;;) {
    if (signal.aborted) return false;
    const waitMs = at - monotonicMs();
    if (waitMs <= 0) return true;
    try {
      if (waitMs === Number.POSITIVE_INFINITY) await once(signal, "abort");
      else await sleep(Math.min(waitMs, 2 ** 31 - 1), undefined, { signal });
    } catch {
      return false; // The signal's own error.
    }
  }
}
