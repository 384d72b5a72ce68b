import type { CallReport } from "../shared/engine.ts";
import type { Outcome } from "../shared/ledger.ts";
import { type ApiError, errorBody, toApiError } from "../shared/openai/errors.ts";
import { encodeEvent, PING_EVENT } from "../shared/openai/sse.ts";

export interface MeterOptions {
  readonly report: CallReport;
  /** Aborted when the client is known to have left. */
  readonly client: AbortSignal;
  /** What becomes of the engine's work then: `stop` aborts the call, `drain` lets it come to its end. Called once. */
  readonly onLeave: () => "stop" | "drain";
  /** The longest a client waits without a byte, in ms: a comment is sent before. 0: for ever. */
  readonly keepAliveMs: number;
  /** Called every `CHECKPOINT_TOKENS` tokens while the stream runs. Must not throw. */
  readonly checkpoint: () => void;
  /** Called when the first token goes out. */
  readonly onFirstToken: () => void;
  /** Called once, however the stream ended. Must not throw. */
  readonly settle: (outcome: Outcome) => void;
}

/** A process that is killed loses at most so many tokens of a stream's bill. */
const CHECKPOINT_TOKENS = 1000;
/** How often the count is looked at, in chunks: a chunk rarely has more than a few tokens. */
const CHUNKS_A_LOOK = 64;

/**
 * The stream's one owner: passes the engine's bytes on, keeps the connection alive, checkpoints, and settles once, at
 * the end, the abort or the failure. `opening` may still be on its way to its headers.
 */
export function meter(opening: Promise<Response>, options: MeterOptions): ReadableStream<Uint8Array> {
  const { report, client, keepAliveMs } = options;
  let reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  let isWaiting = false;
  let isQuiet = true;
  let hasLeft = false;
  let isCancelled = false;
  let isOver = false;
  let hasToken = false;
  let chunks = 0;
  let noted = 0;

  let timer: ReturnType<typeof setInterval> | undefined;
  const end = (outcome: Outcome): void => {
    if (isOver) return;
    isOver = true;
    client.removeEventListener("abort", leave);
    if (timer !== undefined) clearInterval(timer);
    options.settle(outcome);
  };
  const count = (): void => {
    if (hasToken && ++chunks % CHUNKS_A_LOOK !== 0) return;
    const { completionTokens } = report.read().usage;
    if (!hasToken && completionTokens > 0) {
      hasToken = true;
      options.onFirstToken();
    }
    if (completionTokens - noted < CHECKPOINT_TOKENS) return;
    noted = completionTokens;
    options.checkpoint();
  };
  /** Settled when the engine has stopped; a read that still waits ends as if the stream were done. */
  const left = async (): Promise<void> => {
    if (hasLeft || isOver) return;
    hasLeft = true;
    const isDrained = options.onLeave() === "drain";
    try {
      reader ??= readerOf(await opening);
      if (isDrained) while (!(await reader.read()).done) count();
      else await reader.cancel();
    } catch {
      // It failed by itself, or was aborted: nothing is left to read.
    }
    end("client_aborted");
  };
  const leave = () => void left();

  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        client.addEventListener("abort", leave, { once: true });
        if (client.aborted) leave();
        if (keepAliveMs === 0) return;
        const ping = () => {
          // Only into a waiting reader's hands: a client that does not read must not fill memory.
          if (isQuiet && isWaiting && !hasLeft) controller.enqueue(PING_EVENT);
          isQuiet = true;
        };
        timer = setInterval(ping, keepAliveMs / 2);
      },
      async pull(controller) {
        isWaiting = true;
        try {
          reader ??= readerOf(await opening);
          const step = await reader.read();
          if (hasLeft) return isCancelled ? undefined : controller.close();
          isQuiet = false;
          if (!step.done) {
            controller.enqueue(step.value);
            return count();
          }
          end(outcomeOf(report.failure));
          controller.close();
        } catch (thrown) {
          if (hasLeft) return isCancelled ? undefined : controller.close();
          report.failure ??= toApiError(thrown);
          end(outcomeOf(report.failure));
          controller.enqueue(encodeEvent(JSON.stringify(errorBody(report.failure))));
          controller.close();
        } finally {
          isWaiting = false;
        }
      },
      cancel() {
        isCancelled = true;
        return left();
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
