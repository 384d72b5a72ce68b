import type { RequestRecord } from "./record.ts";

/** The part of a run that is measured; moments by `monotonicMs`. */
export interface Window {
  /** Virtual users there now. */
  readonly users: number;
  /** Of a moment at which a request is due, or something arrives. */
  phaseOf(at: number): RequestRecord["phase"];
  /** Opens it, if everything is ready by then. Call it with the time of each request and second. */
  tryOpen(at: number): void;
  onUsers(change: UserChange): void;
  /** It ends here at the latest. */
  close(at: number): void;
  /** Null when it never opened. */
  span(): { readonly startAt: number; readonly endAt: number } | null;
}

export interface UserChange {
  readonly event: "came" | "warm" | "left";
  readonly at: number;
}

export interface WindowOptions {
  /** When the warm-up is over. */
  readonly earliestAt: number;
  readonly endAt: number;
  /** Closed loop: how many there will be. Null in the open loop. */
  readonly users: number | null;
  readonly onOpen: () => void;
}

/**
 * Opens after the warm-up; in the closed loop not before every user is there and has had its first answer. Ends
 * with the run, or when the first user leaves: ramp and tail would dilute the throughput. Nothing is drained in
 * between, so no burst begins the window.
 */
export function createWindow({ earliestAt, endAt, users, onOpen }: WindowOptions): Window {
  let present = 0;
  let warm = 0;
  let startAt: number | undefined;
  let closesAt = endAt;
  const isReady = () => users === null || warm === users;

  function tryOpen(at: number): void {
    if (startAt !== undefined || !isReady() || at < earliestAt || at >= closesAt) return;
    startAt = at;
    onOpen();
  }

  return {
    get users() {
      return present;
    },
    phaseOf(at) {
      if (startAt === undefined || at < startAt) return "warmup";
      return at >= closesAt ? "cooldown" : "measured";
    },
    tryOpen,
    onUsers({ event, at }) {
      if (event === "warm") {
        warm++;
        tryOpen(at);
      } else present += event === "came" ? 1 : -1;
      if (event === "left" && startAt !== undefined) closesAt = Math.min(closesAt, at);
    },
    close(at) {
      closesAt = Math.min(closesAt, at);
    },
    span: () => (startAt === undefined || closesAt <= startAt ? null : { startAt, endAt: closesAt }),
  };
}
