import type { CallReport } from "../shared/engine.ts";
import type { Outcome, Settlement } from "../shared/ledger.ts";
import { ApiError } from "../shared/openai/errors.ts";
import { costNanoUsd } from "../shared/pricing.ts";
import { type Admitted, LEASE_MS } from "./admit.ts";
import type { Target } from "./backends/catalog.ts";
import type { CostOf } from "./cost.ts";
import type { Deps } from "./deps.ts";

/** What one request comes to: who answers it, how much was made, and how it ended. Settled once. */
export interface Bill {
  /** Aborted when the engine must stop. */
  readonly signal: AbortSignal;
  /** Told of each target before it is asked; the last one's policy holds. */
  onTry(target: Target): void;
  /** What a killed process forgets is from here on: where it costs no round trip, the prompt is noted at once. */
  onFirstToken(): void;
  /** The client has left: by the backend's policy its work is stopped, or drained for a while. */
  onLeave(): "stop" | "drain";
  /** Notes what was made so far; done by itself from time to time, so that the hold lives as long as the request. */
  checkpoint(): void;
  /** What a usage costs here: never more than was held. */
  readonly costOf: CostOf;
  /** Charges what the engine counted, whatever the outcome; resolves once it is written down. Never rejects. */
  settle(outcome: Outcome): Promise<void>;
}

export interface BillOptions {
  readonly requestId: string;
  readonly admitted: Admitted;
  readonly first: Target;
  readonly report: CallReport;
  /** Of the monotonic clock, in ms. */
  readonly startedAt: number;
}

/** A process that is killed forgets at most so much of a stream, where a checkpoint is no round trip. */
const NEAR_CHECKPOINT_MS = 2000;

export function openBill(deps: Deps, options: BillOptions): Bill {
  const { hold, held } = options.admitted;
  const { report } = options;
  const { ledger } = deps.store;
  const ref = { account: hold.account, requestId: hold.requestId };
  const abort = new AbortController();
  let target = options.first;
  let ttftMs: number | null = null;
  let drainLimit: ReturnType<typeof setTimeout> | undefined;
  const checkpoint = () => void ledger.checkpoint(ref, report.read()).catch(() => {}); // The lease outlives a few that fail.
  const beat = setInterval(checkpoint, deps.store.isDistant ? LEASE_MS / 3 : NEAR_CHECKPOINT_MS);
  const elapsedMs = () => Math.round(deps.clock.monotonic() - options.startedAt);

  async function write(settlement: Settlement): Promise<void> {
    const { outcome, usage } = settlement;
    const hasFailed = outcome === "upstream_error" || outcome === "timeout";
    await held.catch(() => ledger.hold(hold));
    // A backend that failed before it made a token: nothing is billed, and the client may retry as if it never asked.
    if (hasFailed && usage.promptTokens + usage.completionTokens === 0) await ledger.void(ref);
    else await ledger.settle(ref, settlement);
  }

  return {
    signal: abort.signal,
    onTry(next) {
      target = next;
    },
    onFirstToken() {
      ttftMs = elapsedMs();
      if (!deps.store.isDistant) checkpoint();
    },
    onLeave() {
      if (target.backend?.onAbort !== "drain") {
        abort.abort(new ApiError(499, "The client closed the request."));
        return "stop";
      }
      drainLimit = setTimeout(() => abort.abort(), target.backend.drainMs);
      return "drain";
    },
    checkpoint,
    costOf: (usage) => Math.min(costNanoUsd(hold.price, usage), hold.amount),
    async settle(outcome) {
      clearInterval(beat);
      if (drainLimit !== undefined) clearTimeout(drainLimit);
      const settlement = {
        ...report.read(),
        outcome,
        backend: target.backend?.id ?? null,
        engine: target.backend === undefined ? target.engine.id : "openai",
        ttftMs,
        durationMs: elapsedMs(),
        isFree: outcome === "client_aborted" && target.backend?.onAbort === "free",
      };
      try {
        if (costNanoUsd(hold.price, settlement.usage) > hold.amount) {
          const { engine, usage } = settlement;
          deps.log.warn("more than was held: billed at that", {
            requestId: options.requestId,
            engine: target.backend?.id ?? engine,
            heldTokens: hold.tokens,
            ...usage,
          });
        }
        await write(settlement);
      } catch (error) {
        deps.log.error("ledger failed", { requestId: options.requestId, error: String(error) });
      }
    },
  };
}
