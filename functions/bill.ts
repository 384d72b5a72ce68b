import type { CallReport } from "../shared/engine.ts";
import type { Outcome, Settlement } from "../shared/ledger.ts";
import { ApiError } from "../shared/openai/errors.ts";
import { costNanoUsd } from "../shared/pricing.ts";
import type { Admitted } from "./admit.ts";
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
  /** Notes what was made so far. */
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
        await write(settlement);
      } catch (error) {
        deps.log.error("ledger failed", { requestId: options.requestId, error: String(error) });
      }
    },
  };
}
