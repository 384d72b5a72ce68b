import { text } from "node:stream/consumers";

/** What undici lets a handler do with its connection. */
interface Connection {
  pause(): void;
  resume(): void;
  abort(reason: Error): void;
}

/** A body on its way in, from the connection that brings it to its one reader. */
export interface Arrival {
  start(connection: Connection): void;
  add(piece: Uint8Array): void;
  /** Nothing more comes; with an error, the connection broke. */
  end(error?: unknown): void;
  /** Closes the connection; the reader's next step rejects with `reason`, whatever has arrived. */
  abort(reason: unknown): void;
  readonly text: () => Promise<string>;
  /** Leaving the iteration closes the connection. */
  readonly body: AsyncIterable<Uint8Array>;
}

/** Unread bytes after which the backend is held back. */
const HIGH_WATER = 64 * 1024;

/**
 * All that has arrived is read before the error that came after it: tokens that were produced are delivered and billed.
 * (A Node stream drops them when it is destroyed.)
 */
export function createArrival(): Arrival {
  let connection: Connection | undefined;
  let pieces: Uint8Array[] = [];
  let bytes = 0;
  let state: "open" | "ended" | "broken" | "left" = "open";
  let reason: unknown;
  let wake: (() => void) | undefined;

  function leave(why: unknown): void {
    if (state === "left") return;
    if (state === "open") connection?.abort(asError(why));
    state = "left";
    reason = why;
    wake?.();
  }

  async function* read(): AsyncGenerator<Uint8Array, void, void> {
    try {
      for (;;) {
        if (state === "left") throw reason;
        const batch = pieces;
        pieces = [];
        const wasFull = bytes >= HIGH_WATER;
        bytes = 0;
        if (wasFull && state === "open") connection?.resume(); // More may arrive before it returns.
        yield* batch;
        if (batch.length > 0) continue;
        if (state === "ended") return;
        if (state === "broken") throw reason;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        wake = undefined;
      }
    } finally {
      leave(new Error("Its reader left."));
    }
  }

  const body = { [Symbol.asyncIterator]: read };
  return {
    start(started) {
      connection = started;
      if (state === "left") started.abort(asError(reason));
    },
    add(piece) {
      pieces.push(piece);
      bytes += piece.length;
      if (bytes >= HIGH_WATER) connection?.pause();
      wake?.();
    },
    end(error) {
      if (state !== "open") return;
      state = error === undefined ? "ended" : "broken";
      reason = error;
      wake?.();
    },
    abort: leave,
    body,
    text: () => text(body),
  };
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}
