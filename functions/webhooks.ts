import type { Books, Delivery } from "../shared/books.ts";
import type { Config } from "../shared/config.ts";
import { toWireReceipt } from "../shared/receipt.ts";
import type { Transport } from "./backends/http-engine.ts";
import type { Clock, Log } from "./deps.ts";

type Webhook = Config["webhooks"][number];

export interface DeliverOptions {
  readonly books: Pick<Books, "due" | "delivered" | "postpone">;
  readonly webhooks: readonly Webhook[];
  /** Must not follow redirects: the signature is for the address in the configuration. */
  readonly send: Transport;
  readonly clock: Clock;
  readonly log: Log;
}

/** Posts at the same time, and receipts taken at once. */
const BATCH = 32;
const TIMEOUT_MS = 10_000;
/** Of a receiver's answer, so that its connection can be used again. */
const MAX_ANSWER_BYTES = 16_384;

const FIRST_RETRY_MS = 5000;
const LONGEST_RETRY_MS = 86_400_000;
/** The last one comes about two and a half days after the first. */
const MAX_ATTEMPTS = 12;

/**
 * Tells webhooks of the receipts that are due, by Standard Webhooks (standardwebhooks.com, 2023): at least once each,
 * with the receipt's id as `webhook-id`. What is answered with 2xx in time is delivered; else it is tried again later,
 * 12 times in all. Returns how many posts were tried: as long as there are some, there may be more due.
 */
export async function deliverDue(options: DeliverOptions): Promise<number> {
  const due = await options.books.due(options.clock.now(), BATCH);
  await Promise.all(due.map((delivery) => deliver(options, delivery)));
  return due.length;
}

async function deliver(options: DeliverOptions, delivery: Delivery): Promise<void> {
  const { books, webhooks, clock, log } = options;
  const webhook = webhooks.find(({ id }) => id === delivery.webhook);
  // It left the configuration: nobody waits for it any more.
  if (webhook === undefined) return await books.postpone(delivery, null);

  const failure = await post(options, webhook, delivery);
  if (failure === undefined) return await books.delivered(delivery);
  const attempt = delivery.attempts + 1;
  const fields = { webhook: webhook.id, receipt: delivery.receipt.requestId, attempt, failure };
  if (attempt >= MAX_ATTEMPTS) {
    log.error("webhook given up", fields);
    return await books.postpone(delivery, null);
  }
  const at = clock.now() + retryDelayMs(delivery.attempts);
  log.warn("webhook failed", { ...fields, retryAt: new Date(at).toISOString() });
  await books.postpone(delivery, at);
}

/** What went wrong, or undefined. */
async function post(
  { send, clock }: DeliverOptions,
  { url, secret }: Webhook,
  { receipt }: Delivery,
): Promise<string | undefined> {
  try {
    const body = JSON.stringify({
      type: "receipt.settled",
      timestamp: new Date(receipt.settledAt).toISOString(),
      data: toWireReceipt(receipt),
    });
    const timestamp = String(Math.floor(clock.now() / 1000));
    const headers = {
      "content-type": "application/json",
      "user-agent": "sluice",
      "webhook-id": receipt.requestId,
      "webhook-timestamp": timestamp,
      "webhook-signature": await sign(secret, `${receipt.requestId}.${timestamp}.${body}`),
    };
    const answer = await send({
      method: "POST",
      url,
      headers,
      body,
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    await readAway(answer.body);
    return answer.status >= 200 && answer.status < 300 ? undefined : `it answered ${answer.status}`;
  } catch (error) {
    return String(error);
  }
}

async function readAway(body: AsyncIterable<Uint8Array> | null): Promise<void> {
  let bytes = 0;
  for await (const piece of body ?? []) {
    bytes += piece.length;
    if (bytes > MAX_ANSWER_BYTES) return;
  }
}

async function sign(secret: string, text: string): Promise<string> {
  const encoder = new TextEncoder();
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", secretBytes(secret), algorithm, false, ["sign"]);
  const mac = new Uint8Array(await crypto.subtle.sign("HMAC", key, encoder.encode(text)));
  return `v1,${btoa(String.fromCharCode(...mac))}`;
}

/** Standard Webhooks writes a secret as `whsec_` and base64; any other text is taken as it is. */
function secretBytes(secret: string): Uint8Array<ArrayBuffer> {
  const encoded = /^whsec_(.+)$/.exec(secret)?.[1];
  return encoded === undefined
    ? Uint8Array.from(new TextEncoder().encode(secret))
    : Uint8Array.from(atob(encoded), (char) => char.charCodeAt(0));
}

/** 5 s, then three times as long each, up to a day; spread, so that a receiver that comes back is not overrun. */
export function retryDelayMs(attempts: number): number {
  const delayMs = Math.min(FIRST_RETRY_MS * 3 ** attempts, LONGEST_RETRY_MS);
  return Math.round(delayMs * (0.8 + 0.4 * Math.random()));
}
