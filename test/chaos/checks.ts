import type { Receipt } from "../../shared/ledger.ts";
import type { Seen } from "./client.ts";
import type { Produced } from "./counting-upstream.ts";

export interface Evidence {
  /** By the receipt's id: what the backend knows, and what the client saw. */
  readonly requests: ReadonlyMap<string, { readonly produced: Produced | undefined; readonly seen: Seen }>;
  readonly receipts: readonly Receipt[];
}

export interface Verdict {
  /** One sentence for each breach; none where every bill is right. */
  readonly breaches: readonly string[];
  readonly byOutcome: Readonly<Record<string, number>>;
  /** Requests for which the backend made a token. */
  readonly reached: number;
  /** Receipts by the engine's own count that equal what the backend produced, and all of them. */
  readonly exact: number;
  readonly byEngine: number;
  /** Tokens that killed servers had not noted. */
  readonly lostTokens: number;
}

/**
 * Holds every receipt against the backend's own count: one receipt for each request that reached it and none besides;
 * a stream that came to its end is billed to the token; one that broke off by what the backend had told, never more.
 */
export function judge({ requests, receipts }: Evidence): Verdict {
  const breaches: string[] = [];
  const byOutcome: Record<string, number> = {};
  const billed = new Map<string, Receipt>();
  let exact = 0;
  let byEngine = 0;
  let lostTokens = 0;
  for (const receipt of receipts) {
    const { requestId, outcome, usage } = receipt;
    byOutcome[outcome] = (byOutcome[outcome] ?? 0) + 1;
    if (billed.has(requestId)) breaches.push(`${requestId} has two receipts`);
    billed.set(requestId, receipt);
    const request = requests.get(requestId);
    const made = request?.produced?.tokens ?? 0;
    if (request === undefined) breaches.push(`${requestId} was never asked for`);
    if (usage.completionTokens > made)
      breaches.push(`${requestId} (${outcome}) is billed ${usage.completionTokens} tokens of ${made}`);
    if (outcome === "completed" && usage.completionTokens !== made)
      breaches.push(
        `${requestId} came to its end with ${made} tokens and is billed ${usage.completionTokens}`,
      );
    const told = request?.seen.usage;
    // Killed after the last event and before the commit, a server had only its checkpoints.
    if (outcome !== "lost" && told !== undefined && JSON.stringify(told) !== JSON.stringify(usage))
      breaches.push(`${requestId} is billed otherwise than its client was told`);
    if (outcome === "lost") lostTokens += made - usage.completionTokens;
    else if (receipt.source === "engine") {
      byEngine++;
      if (usage.completionTokens === made) exact++;
    }
  }
  let reached = 0;
  for (const [requestId, { produced }] of requests) {
    if ((produced?.tokens ?? 0) === 0) continue;
    reached++;
    if (!billed.has(requestId)) breaches.push(`${requestId} reached the backend and has no receipt`);
    if ((produced?.asked ?? 0) > 1)
      breaches.push(`${requestId} reached the backend ${produced?.asked} times`);
  }
  return { breaches, byOutcome, reached, exact, byEngine, lostTokens };
}
