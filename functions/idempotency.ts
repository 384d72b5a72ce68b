import { ApiError } from "../shared/openai/errors.ts";
import { sha256 } from "../shared/sha256.ts";

/** Answers kept for clients that repeat an `Idempotency-Key`: bounded, and forgotten after a while. */
export interface AnswerStore {
  get(id: string): Promise<StoredAnswer | undefined>;
  put(id: string, answer: StoredAnswer, ttlMs: number): Promise<void>;
}

export interface StoredAnswer {
  /** SHA-256 of the request's body. */
  readonly fingerprint: string;
  readonly body: string;
}

/** What a client's `Idempotency-Key` stands for. */
export interface Idempotency {
  readonly key: string;
  /** SHA-256 of the request's body. */
  readonly fingerprint: string;
}

const MAX_KEY_LENGTH = 255;

/** The header as it came, with the body's fingerprint. Throws a 400 for a key that is empty or too long. */
export async function readIdempotency(
  header: string | undefined,
  body: string,
): Promise<Idempotency | undefined> {
  if (header === undefined) return undefined;
  if (header === "" || header.length > MAX_KEY_LENGTH)
    throw new ApiError(400, `\`Idempotency-Key\` must have 1 to ${MAX_KEY_LENGTH} characters.`);
  return { key: header, fingerprint: await sha256(body) };
}

/** One id for all requests with the same key of the same client: the ledger bills it once. */
export async function idempotentId(account: string, keyId: string | null, key: string): Promise<string> {
  return `idem_${await sha256(JSON.stringify([account, keyId, key]))}`;
}

/** The first answer again. Throws where the key came with another body. */
export function replayed(id: string, stored: StoredAnswer, { fingerprint }: Idempotency): Response {
  if (stored.fingerprint !== fingerprint) {
    throw new ApiError(422, "This `Idempotency-Key` was used with another request body. Use a new key.", {
      code: "idempotency_key_reused",
    });
  }
  const headers = {
    "content-type": "application/json",
    "x-sluice-receipt": id,
    "idempotent-replayed": "true",
  };
  return new Response(stored.body, { headers });
}

/** The first request with this key has not ended yet. */
export function stillRunning(): ApiError {
  return new ApiError(409, "A request with this `Idempotency-Key` is still running. Retry in a moment.", {
    code: "idempotency_key_in_use",
    retryAfterMs: 1000,
  });
}

/** It ended and was billed; its answer is not kept. */
export function alreadyBilled(receiptId: string): ApiError {
  return new ApiError(
    409,
    `A request with this \`Idempotency-Key\` was served and billed before, as receipt ${receiptId}; its answer is not kept. Use a new key to ask again.`,
    { code: "idempotency_key_used", shouldRetry: false, headers: { "x-sluice-receipt": receiptId } },
  );
}
