import type { CallReport } from "../shared/engine.ts";
import type { Outcome } from "../shared/ledger.ts";
import { type ApiError, errorBody, toApiError } from "../shared/openai/errors.ts";
import { encodeEvent, PING_EVENT } from "../shared/openai/sse.ts";

export interface MeterOptions {
  readonly report: CallReport;
  /** Aborting it stops the engine. */
  readonly abort: AbortController;
  /** Aborted when the client left or `abort` was. */
  readonly signal: AbortSignal;
  /** The longest a client waits without a byte, in ms: a comment is sent before. 0: for ever. */
  readonly keepAliveMs: number;
  readonly checkpointMs: number;
  /** Called every `checkpointMs` while the stream runs. Must not throw. */
  readonly checkpoint: () => void;
  /** Called once, however the stream ended. Must not throw. */
  readonly settle: (outcome: Outcome) => void;
}

/**
 * The stream's one owner: passes the engine's bytes on, keeps the connection alive, checkpoints, and settles once, at
 * the end, the abort or the failure. `opening` may still be on its way to its headers.
 */
export function meter(opening: Promise<Response>, options: MeterOptions): ReadableStream<Uint8Array> {
  const { report, abort, keepAliveMs } = options;
  let reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  let isWaiting = false;
  let isQuiet = true;
  let hasLeft = false;
  let isOver = false;

  const outcome = (): Outcome => (options.signal.aborted ? "client_aborted" : outcomeOf(report.failure));
  const timers: ReturnType<typeof setInterval>[] = [];
  const end = (outcome: Outcome): void => {
    if (isOver) return;
    isOver = true;
    for (const timer of timers) clearInterval(timer);
    options.settle(outcome);
  };

  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        timers.push(setInterval(options.checkpoint, options.checkpointMs));
        if (keepAliveMs === 0) return;
        const ping = () => {
          // Only into a waiting reader's hands: a client that does not read must not fill memory.
          if (isQuiet && isWaiting) controller.enqueue(PING_EVENT);
          isQuiet = true;
        };
        timers.push(setInterval(ping, keepAliveMs / 2));
      },
      async pull(controller) {
        isWaiting = true;
        try {
          reader ??= readerOf(await opening);
          const step = await reader.read();
          if (hasLeft) return;
          isQuiet = false;
          if (!step.done) return controller.enqueue(step.value);
          end(outcome());
          controller.close();
        } catch (thrown) {
          if (hasLeft) return;
          report.failure ??= toApiError(thrown);
          end(outcome());
          if (!options.signal.aborted)
            controller.enqueue(encodeEvent(JSON.stringify(errorBody(report.failure))));
          controller.close();
        } finally {
          isWaiting = false;
        }
      },
      async cancel(reason) {
        // Settled below, when the engine has stopped; a read that still waits ends as if the stream were done.
        hasLeft = true;
        abort.abort(reason);
        opening.catch(() => {}); // Where nothing was read yet, its failure has no reader any more.
        await reader?.cancel(reason).catch(() => {}); // It failed by itself already: nothing is left to cancel.
        end("client_aborted");
      },
    },
    { highWaterMark: 0 },
  );
}

function readerOf(response: Response): ReadableStreamDefaultReader<Uint8Array> {
  if (response.body === null) throw new Error("The engine answered a stream without a body");
  return response.body.getReader();
}

export function outcomeOf(failure: ApiError | undefined): Outcome {
  if (failure === undefined) return "completed";
  return failure.status === 504 ? "timeout" : "upstream_error";
}
